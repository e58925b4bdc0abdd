//! What one run of an agent uses: once, and at most.

use llmspell::model::BYTES_PER_TOKEN;
use serde_json::json;

use super::estimate::{EstimatedUse, prices};
use crate::ir::agent::AgentPlan;

/// What of a request is the same with each record.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    /// The bytes of the tools, and of the schema of the answer.
    pub(super) bytes: usize,
    /// The bytes of what is said to an answer that does not fit its schema.
    mending: usize,
    /// The tools of which only the name is known.
    pub(super) unknown_tools: Vec<String>,
}

impl Fixed {
    pub(super) fn of(agent: &AgentPlan) -> Self {
        let specs = || agent.tools.iter().map(|tool| tool.spec());
        let tool = |spec: &llmspell::tool::ToolSpec| json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters });
        let schema = agent.answer_schema().map(|schema| schema.to_string().len());
        // That of a server that has not been asked.
        let unknown =
            specs().filter(|spec| spec.description.is_empty() && spec.parameters == json!({ "type": "object" }));
        Fixed {
            bytes: specs().map(|spec| tool(spec).to_string().len()).sum::<usize>() + schema.unwrap_or(0),
            mending: schema.map_or(0, |schema| schema + MENDING),
            unknown_tools: unknown.map(|spec| spec.name.clone()).collect(),
        }
    }
}

/// About the bytes of "That is not what was asked for: …. Answer with nothing but JSON of this schema: ".
const MENDING: usize = 120;

fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What one run of an agent uses whose prompts have so many bytes: if its first answer is its last, and at most.
///
/// Each turn sends all that was said before. Of that, what tools answer is of no known size; so is what the model says, if
/// neither `max_output_tokens` nor `max_tokens` bounds it.
pub(super) fn asked(
    agent: &AgentPlan,
    fixed: &Fixed,
    prompts: usize,
    is_complete: bool,
) -> (EstimatedUse, EstimatedUse) {
    let first = tokens(prompts + fixed.bytes);
    let is_complete = is_complete && fixed.unknown_tools.is_empty();
    let output = most_output(agent);
    let once = spent(agent, 1, first, output, is_complete);
    let turns = agent.most_turns();
    if turns == 1 {
        return (once.clone(), once);
    }
    let has_tools = !agent.tools.is_empty();
    // `max_tokens` is looked at before each turn: what was used by then is less, and one turn more is counted.
    let before = agent.bounds.max_tokens.map(|most| most.saturating_sub(1));
    let mending = tokens(fixed.mending);
    let said = |turns: u64| output.map(|output| output.saturating_mul(turns));
    // What is sent again with the last turn; what tools answer is part of it, but of no known size.
    let again = match (before, said(turns - 1)) {
        (Some(before), Some(said)) if !has_tools => Some(before.min(said)),
        (Some(before), _) => Some(before),
        (None, said) => said,
    };
    let last = first.saturating_add(mending).saturating_add(again.unwrap_or(0));
    // The first prompts with each turn, what was said in each with all that follow, and one complaint.
    let sent = first.saturating_mul(turns).saturating_add(mending.saturating_mul(turns - 1));
    let sent = sent.saturating_add(said(turns * (turns - 1) / 2).unwrap_or(0));
    let input = match before.map(|before| before.saturating_add(last)) {
        // What tools answer fills it up.
        Some(most) if has_tools || output.is_none() => most,
        Some(most) => most.min(sent),
        None => sent,
    };
    let said = said(turns).map(|said| match (before, output) {
        (Some(before), Some(output)) => said.min(before.saturating_add(output)),
        _ => said,
    });
    let is_complete = is_complete && !has_tools && again.is_some();
    let mut worst = spent(agent, turns, input, said, is_complete);
    if let (Some(most), Some(output), Some(prices), Some(cost)) =
        (agent.bounds.max_cost, output, prices(agent), worst.cost)
    {
        let most = most + (last as f64 * prices.input + output as f64 * prices.output) / 1e6;
        worst.cost = Some(if has_tools { most } else { cost.min(most) });
        worst.input_cost = worst.input_cost.map(|input| input.min(most));
    }
    (once, worst)
}

/// How long one answer may be, in tokens.
pub(super) fn most_output(agent: &AgentPlan) -> Option<u64> {
    agent.settings.as_ref().and_then(|settings| settings.max_output_tokens).map(u64::from)
}

fn spent(agent: &AgentPlan, calls: u64, input: u64, output: Option<u64>, is_complete: bool) -> EstimatedUse {
    let prices = prices(agent);
    let input_cost = prices.map(|prices| input as f64 * prices.input / 1e6);
    let output_cost = prices.zip(output).map(|(prices, output)| output as f64 * prices.output / 1e6);
    let free = prices.filter(|prices| prices.output == 0.0).map(|_| 0.0);
    EstimatedUse {
        calls,
        input_tokens: input,
        input_is_complete: is_complete,
        output_tokens: output,
        input_cost,
        cost: input_cost.zip(output_cost.or(free)).map(|(input, output)| input + output),
    }
}
