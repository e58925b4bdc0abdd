//! Estimates of the tokens and the cost of a flow's agents, made without calling a model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::count::List;
use crate::ir::agent::CheckedAgent;

/// The estimated use of one model by agents, made without calling it. `llmspell plan --json` writes it as JSON.
///
/// Input tokens are counted at [`BYTES_PER_TOKEN`](llmspell::model::BYTES_PER_TOKEN): the prompts rendered with the
/// record, the tools with their descriptions and schemas, and the schema of the answer. Output tokens are an upper bound,
/// because their number is not known in advance.
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
/// let estimate = &flow.plan().estimates[0];
/// assert_eq!((estimate.once.calls, estimate.once.input_tokens), (1, 3)); // twelve characters
/// assert_eq!(estimate.once.cost, Some((3.0 * 0.4 + 100.0 * 1.6) / 1e6));
/// assert_eq!((estimate.worst.calls, estimate.worst.output_tokens), (3, Some(300)));
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The flow's name for the model.
    pub model: String,
    /// The expressions of the lists of unknown length around the agents. All numbers are for one item of each.
    pub for_each_of: Vec<String>,
    /// The best case: each agent calls its model once, without retries, second copies, further turns and rounds, or
    /// fallbacks. A `when` that depends on the output of a step is assumed to hold.
    pub once: EstimatedUse,
    /// The worst case: all attempts, second copies, turns, rounds and fallbacks. Each turn sends the whole conversation.
    /// `max_tokens` and `max_cost` of an agent are checked before each turn, so the turn that exceeds them is included.
    pub worst: EstimatedUse,
    /// The prices for a million tokens; `None` if the flow declares none. Simulated models are free.
    pub prices: Option<TokenPrices>,
    /// The names in prompts whose values are unknown and count as 0: `steps.fetch`, `inputs.text`, `item`, `last`.
    pub unknown: BTreeSet<String>,
    /// The agents whose answers have no bound. They are sent again with the next turn, which counts as 0 in `worst`.
    pub unknown_answers: BTreeSet<String>,
    /// The agents whose tools return results of unknown size. They are sent with the next turn, which counts as 0 in
    /// `worst`.
    pub unknown_tool_answers: BTreeSet<String>,
    /// The tools of servers that are not connected. Their descriptions are unknown and count as 0.
    pub unknown_tools: BTreeSet<String>,
}

/// The prices of a million tokens, in the currency of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TokenPrices {
    /// The price of input tokens.
    pub input: f64,
    /// The price of output tokens.
    pub output: f64,
}

/// A number of calls, with their tokens and cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EstimatedUse {
    /// The number of calls.
    pub calls: u64,
    /// The estimated number of input tokens.
    pub input_tokens: u64,
    /// Whether all input is included. If not, further input is not known in advance.
    pub input_is_complete: bool,
    /// The maximum number of output tokens; `None` if there is no bound.
    pub output_tokens: Option<u64>,
    /// The estimated cost of the input; `None` without prices.
    pub input_cost: Option<f64>,
    /// The maximum cost of input and output; `None` without prices, or if the output has no bound.
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

/// The sums of the estimates of all models.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimates(BTreeMap<(Arc<str>, Vec<List>), Estimate>);

impl Estimates {
    /// Returns the estimate for the calls of an agent, for each item of these lists.
    pub(super) fn of(&mut self, agent: &CheckedAgent, lists: &[List]) -> &mut Estimate {
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

/// Removes the last digits, which are errors of binary addition.
fn rounded(cost: f64) -> f64 {
    (cost * 1e12).round() / 1e12
}

pub(super) fn prices(agent: &CheckedAgent) -> Option<TokenPrices> {
    let declared = agent.settings.as_ref();
    let full = declared.map_or(&*agent.model, |settings| settings.model.value.as_str());
    let free = full.starts_with("simulated/").then_some(TokenPrices { input: 0.0, output: 0.0 });
    let declared = declared.and_then(|settings| settings.prices);
    declared.map(|prices| TokenPrices { input: prices.input, output: prices.output }).or(free)
}
