//! Agents that a simulated model cannot serve.

use super::{AgentSubject, Rule, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "simulated-model",
    explanation: "A simulated model answers with plain text: it never gives an `answer` with fields, and never calls a tool.",
};

pub(super) fn check(subject: &AgentSubject<'_>, warnings: &mut Warnings<'_>) {
    let AgentSubject { agent, model, at, has_fallback, .. } = *subject;
    if !model.starts_with("simulated/") {
        return;
    }
    if agent.answer.is_some() {
        // With a fallback, the author tries how the flow continues without an answer.
        if !has_fallback {
            let message = format!("`{model}` gives text only: it never gives an `answer` with fields");
            let hint = "name a model of a provider, or leave `answer` out while you try the flow";
            warnings.push(at, message, hint);
        }
    } else if !agent.tools.is_empty() {
        let message = format!("`{model}` gives text only: it never calls a tool");
        let hint = "name a model of a provider, such as openai/gpt-5-mini, to try the tools";
        warnings.push(at, message, hint);
    }
}
