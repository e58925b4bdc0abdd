//! The tokens of one run of an agent: in the best case and in the worst case.

use llmspell::model::BYTES_PER_TOKEN;
use serde_json::json;

use super::estimate::{EstimatedUse, prices};
use crate::ir::agent::CheckedAgent;

/// The parts of a request that are the same for each record.
#[derive(Clone, Debug)]
pub(super) struct FixedTokens {
    /// The bytes of the tools and of the answer's schema.
    pub(super) bytes: usize,
    /// The bytes of the prompt that asks to correct an invalid answer.
    repair: usize,
    /// The tools whose descriptions are unknown.
    pub(super) unknown_tools: Vec<String>,
}

impl FixedTokens {
    pub(super) fn of(agent: &CheckedAgent) -> Self {
        let specs = || agent.tools.iter().map(|tool| tool.spec());
        let tool = |spec: &llmspell::tool::ToolSpec| json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters });
        let schema = agent.answer_schema().map(|schema| schema.to_string().len());
        // A tool of a server that is not connected.
        let unknown =
            specs().filter(|spec| spec.description.is_empty() && spec.parameters == json!({ "type": "object" }));
        FixedTokens {
            bytes: specs().map(|spec| tool(spec).to_string().len()).sum::<usize>() + schema.unwrap_or(0),
            repair: schema.map_or(0, |schema| schema + REPAIR_BYTES),
            unknown_tools: unknown.map(|spec| spec.name.clone()).collect(),
        }
    }
}

/// The approximate size of the core's repair prompt, without the schema.
const REPAIR_BYTES: usize = 120;

fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// Returns the use of one run of an agent whose prompts have `prompts` bytes: with a single turn, and in the worst case.
///
/// Each turn sends the whole conversation. The results of tools in it have an unknown size, and so do the model's
/// replies unless `max_output_tokens` or `max_tokens` bounds them.
pub(super) fn agent_use(
    agent: &CheckedAgent,
    fixed: &FixedTokens,
    prompts: usize,
    is_complete: bool,
) -> (EstimatedUse, EstimatedUse) {
    let first = tokens(prompts + fixed.bytes);
    let is_complete = is_complete && fixed.unknown_tools.is_empty();
    let output = max_output(agent);
    let once = usage(agent, 1, first, output, is_complete);
    let turns = agent.max_turns();
    if turns == 1 {
        return (once.clone(), once);
    }
    let has_tools = !agent.tools.is_empty();
    // `max_tokens` is checked before each turn: the use so far is below it, and one further turn is possible.
    let before = agent.bounds.max_tokens.map(|bound| bound.saturating_sub(1));
    let repair = tokens(fixed.repair);
    let replies = |turns: u64| output.map(|output| output.saturating_mul(turns));
    // The tokens that are sent again with the last turn. The results of tools are part of it, with an unknown size.
    let resent = match (before, replies(turns - 1)) {
        (Some(before), Some(replies)) if !has_tools => Some(before.min(replies)),
        (Some(before), _) => Some(before),
        (None, replies) => replies,
    };
    let last = first.saturating_add(repair).saturating_add(resent.unwrap_or(0));
    // The first prompts with each turn, the reply of each turn with all later turns, and one repair prompt.
    let sent = first.saturating_mul(turns).saturating_add(repair.saturating_mul(turns - 1));
    let sent = sent.saturating_add(replies(turns * (turns - 1) / 2).unwrap_or(0));
    let input = match before.map(|before| before.saturating_add(last)) {
        // The results of tools can use up the bound.
        Some(bound) if has_tools || output.is_none() => bound,
        Some(bound) => bound.min(sent),
        None => sent,
    };
    let replies = replies(turns).map(|replies| match (before, output) {
        (Some(before), Some(output)) => replies.min(before.saturating_add(output)),
        _ => replies,
    });
    let is_complete = is_complete && !has_tools && resent.is_some();
    let mut worst = usage(agent, turns, input, replies, is_complete);
    if let (Some(bound), Some(output), Some(prices), Some(cost)) =
        (agent.bounds.max_cost, output, prices(agent), worst.cost)
    {
        let bound = bound + (last as f64 * prices.input + output as f64 * prices.output) / 1e6;
        worst.cost = Some(if has_tools { bound } else { cost.min(bound) });
        worst.input_cost = worst.input_cost.map(|input| input.min(bound));
    }
    (once, worst)
}

/// Returns the maximum number of tokens in one reply.
pub(super) fn max_output(agent: &CheckedAgent) -> Option<u64> {
    agent.settings.as_ref().and_then(|settings| settings.max_output_tokens).map(u64::from)
}

fn usage(agent: &CheckedAgent, calls: u64, input: u64, output: Option<u64>, is_complete: bool) -> EstimatedUse {
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
