//! How many tokens the agents of a flow use, and what that costs, as far as it can be known before a model is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::count::List;
use crate::ir::agent::AgentPlan;

/// What agents would use of one model: an estimate, made without asking it. Written as JSON by `llmspell plan --json`.
///
/// Tokens that go in are counted at [`BYTES_PER_TOKEN`](llmspell::model::BYTES_PER_TOKEN): the prompts rendered with the record, the tools with their
/// descriptions and schemas, and the schema of the answer. Tokens that come out are the most there can be, for nobody
/// knows how many there will be.
///
/// ```
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_tools::Permissions;
///
/// let text = "
/// flow: f
/// models: { small: { model: openai/gpt-4.1-mini, max_output_tokens: 100, prices: { input: 0.4, output: 1.6 } } }
/// steps:
///   - id: joke
///     agent: { model: small, prompt: Tell a joke. }
///     retry: 3
/// ";
/// let toolbox = Toolbox::built_in(&Permissions::none()).with_unopened_model("small");
/// let flow = Flow::parse(&Source::new("f.yaml", text), &toolbox)?;
/// let estimate = &flow.outline().estimates[0];
/// assert_eq!((estimate.once.calls, estimate.once.input_tokens), (1, 3)); // twelve characters
/// assert_eq!(estimate.once.cost, Some((3.0 * 0.4 + 100.0 * 1.6) / 1e6));
/// assert_eq!((estimate.worst.calls, estimate.worst.output_tokens), (3, Some(300)));
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// What the flow calls the model.
    pub model: String,
    /// The lists whose length is not known, as the file has them: all numbers here are for one item of each. Empty if no
    /// such list is around the agents.
    pub for_each_of: Vec<String>,
    /// If all goes well: each agent is asked once. No further attempts, second copies, turns and rounds, and no fallbacks.
    /// A `when` that depends on what a step gives is taken to hold.
    pub once: EstimatedUse,
    /// The most: all attempts, second copies, turns, rounds and fallbacks. A turn sends all that was said before.
    /// `max_tokens` and `max_cost` of an agent are looked at before each turn, so the turn that goes beyond them is
    /// counted, too.
    pub worst: EstimatedUse,
    /// What the model costs for a million tokens; none if the flow does not say. Simulated models cost nothing.
    pub prices: Option<TokenPrices>,
    /// What prompts name that is not known before, and counts nothing: `steps.fetch`, `inputs.text`, `item`, `last`.
    pub unknown: BTreeSet<String>,
    /// The agents whose answers have no bound and go in again with the next turn, which counts nothing in `worst`.
    pub unknown_answers: BTreeSet<String>,
    /// The agents whose tools may give anything, which goes in with the next turn and counts nothing in `worst`.
    pub unknown_tool_answers: BTreeSet<String>,
    /// The tools of servers that have not been asked for their descriptions, which count nothing.
    pub unknown_tools: BTreeSet<String>,
}

/// What is paid for a million tokens, in the currency of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TokenPrices {
    /// That go in.
    pub input: f64,
    /// That come out.
    pub output: f64,
}

/// Calls, and the tokens and the cost of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EstimatedUse {
    /// How often the model is asked.
    pub calls: u64,
    /// The tokens that go in, estimated.
    pub input_tokens: u64,
    /// Whether that is all of them: if not, more go in, which is not known before.
    pub input_is_complete: bool,
    /// The most tokens that come out; none if there is no bound.
    pub output_tokens: Option<u64>,
    /// What the tokens that go in cost; none without prices.
    pub input_cost: Option<f64>,
    /// What all of them cost at most; none without prices, or if what comes out has no bound.
    pub cost: Option<f64>,
}

impl EstimatedUse {
    pub(super) const NOTHING: EstimatedUse = EstimatedUse {
        calls: 0,
        input_tokens: 0,
        input_is_complete: true,
        output_tokens: Some(0),
        input_cost: Some(0.0),
        cost: Some(0.0),
    };

    pub(super) fn add(&mut self, more: &EstimatedUse, times: u64) {
        if times == 0 {
            return;
        }
        let tokens = |sum: u64, more: u64| sum.saturating_add(more.saturating_mul(times));
        let cost = |sum: Option<f64>, more: Option<f64>| Some(sum? + more? * times as f64);
        self.calls = tokens(self.calls, more.calls);
        self.input_tokens = tokens(self.input_tokens, more.input_tokens);
        self.input_is_complete &= more.input_is_complete;
        self.output_tokens = self.output_tokens.zip(more.output_tokens).map(|(sum, more)| tokens(sum, more));
        self.input_cost = cost(self.input_cost, more.input_cost);
        self.cost = cost(self.cost, more.cost);
    }
}

/// The estimates of all models, while they are added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimates(BTreeMap<(Arc<str>, Vec<List>), Estimate>);

impl Estimates {
    /// The estimate that an agent's calls belong to, for each item of these lists.
    pub(super) fn of(&mut self, agent: &AgentPlan, lists: &[List]) -> &mut Estimate {
        self.0.entry((agent.model.clone(), lists.to_vec())).or_insert_with(|| Estimate {
            model: agent.model.to_string(),
            for_each_of: lists.iter().map(|list| list.text.to_string()).collect(),
            once: EstimatedUse::NOTHING,
            worst: EstimatedUse::NOTHING,
            prices: prices(agent),
            unknown: BTreeSet::new(),
            unknown_answers: BTreeSet::new(),
            unknown_tool_answers: BTreeSet::new(),
            unknown_tools: BTreeSet::new(),
        })
    }

    pub(super) fn into_list(self) -> Vec<Estimate> {
        let rounded = |mut estimate: Estimate| {
            for spent in [&mut estimate.once, &mut estimate.worst] {
                spent.input_cost = spent.input_cost.map(rounded);
                spent.cost = spent.cost.map(rounded);
            }
            estimate
        };
        self.0.into_values().map(rounded).collect()
    }
}

/// Without the digits that come of adding in binary.
fn rounded(cost: f64) -> f64 {
    (cost * 1e12).round() / 1e12
}

pub(super) fn prices(agent: &AgentPlan) -> Option<TokenPrices> {
    let declared = agent.settings.as_ref();
    let full = declared.map_or(&*agent.model, |settings| settings.model.value.as_str());
    let free = full.starts_with("simulated/").then_some(TokenPrices { input: 0.0, output: 0.0 });
    let told = declared.and_then(|settings| settings.prices);
    told.map(|prices| TokenPrices { input: prices.input, output: prices.output }).or(free)
}
