//! Bounds on the cost of a model without prices.

use super::{AgentSubject, Rule, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "unpriced-bound",
    explanation: "An agent has a `max_cost`, but its model has no prices in the file, so the bound may have no effect.",
};

pub(super) fn check(subject: &AgentSubject<'_>, warnings: &mut Warnings<'_>) {
    let Some(cost) = &subject.agent.max_cost else { return };
    if subject.settings.is_none_or(|settings| settings.prices.is_none()) {
        let message = "the model has no prices in this file: unless its server reports costs, this bound has no effect";
        let hint = "declare it under `models` with `prices: { input: 0.4, output: 1.6 }`, for a million tokens";
        warnings.push(&cost.at, message.to_owned(), hint);
    }
}
