//! Agents that a simulated model cannot serve.

use std::ops::Range;

use super::{Rule, Warnings};
use crate::syntax::file::AgentDef;

pub(super) const RULE: Rule = Rule {
    id: "simulated-model",
    explanation: "A simulated model answers with plain text: it never gives an `answer` with fields, and never calls a tool.",
};

/// `at` is where the model is named, if it is.
pub(crate) fn simulated(
    agent: &AgentDef,
    at: Option<&Range<usize>>,
    model: &str,
    has_fallback: bool,
    warnings: &mut Warnings<'_>,
) {
    if !model.starts_with("simulated/") {
        return;
    }
    if agent.answer.is_some() {
        // Somebody tries how the flow goes on without it.
        if !has_fallback {
            let message = format!("`{model}` says words only: it never gives an `answer` with fields");
            let hint = "name a model of a provider, or leave `answer` out while you try the flow";
            warnings.push(at, message, hint);
        }
    } else if !agent.tools.is_empty() {
        let message = format!("`{model}` says words only: it never calls a tool");
        let hint = "name a model of a provider, such as openai/gpt-5-mini, to see the tools at work";
        warnings.push(at, message, hint);
    }
}
