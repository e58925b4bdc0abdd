//! Whether the budget that a flow sets suffices.

use llmspell_flow::{Estimate, Flow, InputSurvey};

use crate::options::budget::BudgetArg;

/// The budget of a flow, compared with the worst case.
#[derive(serde::Serialize)]
pub(super) struct FlowBudget {
    /// The amount as the flow writes it.
    pub(super) amount: String,
    /// Whether it covers the worst case. A use without a bound is not covered.
    pub(super) is_enough: bool,
}

/// Compares the budget of a flow with the worst case for the surveyed records. Returns `None` without either.
pub(super) fn of_flow(flow: &Flow, survey: Option<&InputSurvey>) -> Option<FlowBudget> {
    let option = flow.run_options().iter().find(|option| option.name == "budget")?;
    let budget: BudgetArg = option.value.parse().ok()?;
    let (mut tokens, mut cost) = (Some(0_u64), Some(0.0));
    for (more_tokens, more_cost) in survey?.estimates.iter().map(worst_case) {
        tokens = tokens.zip(more_tokens).map(|(sum, more)| sum.saturating_add(more));
        cost = cost.zip(more_cost).map(|(sum, more)| sum + more);
    }
    Some(FlowBudget { amount: option.value.clone(), is_enough: budget.covers(tokens, cost) })
}

/// Returns the tokens and the cost of one model at worst; `None` if they have no bound.
fn worst_case(estimate: &Estimate) -> (Option<u64>, Option<f64>) {
    let worst = &estimate.worst;
    let is_known = estimate.for_each_of.is_empty() && worst.input_is_complete;
    let tokens = worst.output_tokens.filter(|_| is_known).map(|output| output.saturating_add(worst.input_tokens));
    (tokens, worst.cost.filter(|cost| is_known || *cost == 0.0))
}
