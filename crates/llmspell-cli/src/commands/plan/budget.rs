//! Whether the budget that a flow sets is enough.

use llmspell_flow::{Estimate, Flow, Survey};

use crate::options::budget::Spending;

/// The budget of a flow.
#[derive(serde::Serialize)]
pub(super) struct FlowsBudget {
    /// As the flow has it.
    pub(super) amount: String,
    /// Whether it covers the worst case; what has no bound is not covered.
    pub(super) is_enough: bool,
}

/// Whether the budget of a flow is enough for the records that have been counted.
pub(super) fn of(flow: &Flow, survey: Option<&Survey>) -> Option<FlowsBudget> {
    let budget = flow.run_options().iter().find(|option| option.name == "budget")?;
    let spending: Spending = budget.value.parse().ok()?;
    let estimates = &survey?.estimates;
    let worst = |estimate: &Estimate| {
        let worst = &estimate.worst;
        let is_known = estimate.for_each_of.is_empty() && worst.input_is_complete;
        let tokens = worst.output_tokens.filter(|_| is_known).map(|output| output.saturating_add(worst.input_tokens));
        (tokens, worst.cost.filter(|cost| is_known || *cost == 0.0))
    };
    let (mut tokens, mut cost) = (Some(0_u64), Some(0.0));
    for (of_tokens, of_cost) in estimates.iter().map(worst) {
        tokens = tokens.zip(of_tokens).map(|(sum, more)| sum.saturating_add(more));
        cost = cost.zip(of_cost).map(|(sum, more)| sum + more);
    }
    Some(FlowsBudget { amount: budget.value.clone(), is_enough: spending.is_enough(tokens, cost) })
}
