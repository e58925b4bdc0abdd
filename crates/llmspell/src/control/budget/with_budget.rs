//! A step under a budget.

use std::fmt;
use std::sync::Arc;

use super::Budget;
use super::ledger::BudgetLedger;
use super::reservation::{BudgetGuard, BudgetReservation};
use crate::context::{Context, MeterId};
use crate::error::Result;
use crate::observe::event::WaitKind;
use crate::observe::usage::Usage;
use crate::step::{Step, StepInfo};

/// A step under a budget; created by [`Step::budget`].
#[must_use = "a step does nothing until it runs"]
pub struct WithBudget<S: Step> {
    step: S,
    budget: Budget,
    estimate: Option<Arc<EstimateUsage<S::In>>>,
    /// Whether this adapter reports the start of a call, because no adapter further in does.
    reports_start: bool,
}

type EstimateUsage<In> = dyn Fn(&In) -> Usage + Send + Sync;

impl<S: Step> WithBudget<S> {
    pub(crate) fn new(step: S, budget: Budget) -> Self {
        let reports_start = budget.ledger.is_some() && !step.info().reports_start;
        WithBudget { step, budget, estimate: None, reports_start }
    }

    /// Estimates the usage of a call from its input.
    pub fn estimate(mut self, usage: impl Fn(&S::In) -> Usage + Send + Sync + 'static) -> Self {
        self.estimate = Some(Arc::new(usage));
        self
    }

    /// Returns a reservation, because a pause has begun at a rate further out, and waits for both.
    async fn reserve_again(
        &self,
        ledger: &Arc<BudgetLedger>,
        expected: Option<Usage>,
        mut revoked: BudgetReservation,
        cx: &Context,
    ) -> Result<BudgetReservation> {
        let name = self.step.info().name;
        loop {
            drop(revoked);
            cx.renew_reservations(name).await?;
            (revoked, _) = BudgetReservation::reserve(ledger, expected, cx, name).await?;
            if !cx.is_revoked() {
                return Ok(revoked);
            }
        }
    }
}

impl<S: Step> Step for WithBudget<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(ledger) = &self.budget.ledger else { return self.step.run(input, cx).await };
        if cx.is_metered_for(MeterId::of(ledger)) {
            if let Some(error) = ledger.exhausted() {
                cx.rejected(WaitKind::Budget, None, &error);
                return Err(error.at(|| cx.path()));
            }
            if self.reports_start {
                cx.report_start();
            }
            return self.step.run(input, cx).await;
        }
        let expected = self.estimate.as_ref().map(|estimate| estimate(&input)).or(self.budget.estimate);
        let (mut reservation, waited) = BudgetReservation::reserve(ledger, expected, cx, self.step.info().name).await?;
        if waited && cx.is_revoked() {
            reservation = Box::pin(self.reserve_again(ledger, expected, reservation, cx)).await?;
        }
        if self.reports_start {
            cx.report_start();
        }
        let call = BudgetGuard::new(reservation, self.reports_start);
        let result = self.step.run(input, &cx.with_meter(call.meter())).await;
        call.end(result.as_ref().err());
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let info = self.step.info();
        if self.budget.ledger.is_some() { info.reporting_start() } else { info }
    }
}

impl<S: Step + Clone> Clone for WithBudget<S> {
    fn clone(&self) -> Self {
        WithBudget {
            step: self.step.clone(),
            budget: self.budget.clone(),
            estimate: self.estimate.clone(),
            reports_start: self.reports_start,
        }
    }
}

impl<S: Step + fmt::Debug> fmt::Debug for WithBudget<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithBudget").field("step", &self.step).field("budget", &self.budget).finish_non_exhaustive()
    }
}
