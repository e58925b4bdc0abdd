//! Bounds on the cost of a model without prices.

use super::{Rule, Warnings};
use crate::syntax::file::{AgentDef, ModelDef};

pub(super) const RULE: Rule = Rule {
    id: "unpriced-bound",
    explanation: "An agent has a `max_cost`, but its model has no prices in the file, so the bound may hold nothing.",
};

pub(crate) fn unpriced(agent: &AgentDef, settings: Option<&ModelDef>, warnings: &mut Warnings<'_>) {
    let Some(cost) = &agent.max_cost else { return };
    if settings.is_none_or(|settings| settings.prices.is_none()) {
        let message = "the model has no prices in this file: unless it tells what it costs, this bounds nothing";
        let hint = "declare it under `models` with `prices: { input: 0.4, output: 1.6 }`, for a million tokens";
        warnings.push(&cost.at, message.to_owned(), hint);
    }
}
