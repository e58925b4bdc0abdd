//! Whether the budget that a flow sets is enough.

use llmspell_flow::{Flow, Survey};

use crate::spending::Spending;

/// What there is to say of the budget of a flow, for the records that have been counted.
pub(super) fn told(flow: &Flow, survey: Option<&Survey>) -> Option<String> {
    let budget = flow.run_options().iter().find(|option| option.name == "budget")?;
    let spending: Spending = budget.value.parse().ok()?;
    let estimates = &survey?.estimates;
    let worst = |estimate: &llmspell_flow::Estimate| {
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
    (!spending.is_enough(tokens, cost))
        .then(|| format!("budget {}: may not be enough, and then the run stops", budget.value))
}
