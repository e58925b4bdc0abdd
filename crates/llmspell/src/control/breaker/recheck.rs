//! A second look at the breaker, behind the line.

use tokio::time::Instant;

use super::Breaker;
use super::with_breaker::CallSite;
use crate::context::Context;
use crate::error::Result;
use crate::step::{Step, StepInfo};

/// A step whose call is not made if the breaker has opened while it stood in line, and it is no probe.
///
/// In the canonical order the breaker stands in front of the limit. A thousand calls that wait for a permit have
/// been let in already when the first of them fail; without a second look, all of them would be made.
pub(crate) struct BreakerRecheck<S> {
    step: S,
    breaker: Option<Breaker>,
    /// Whether it is for this one to say that a call has begun.
    reports_start: bool,
}

impl<S: Step> BreakerRecheck<S> {
    pub(crate) fn new(step: S, breaker: Option<Breaker>) -> Self {
        let reports_start = breaker.is_some() && !step.info().reports_start;
        BreakerRecheck { step, breaker, reports_start }
    }
}

impl<S: Step> Step for BreakerRecheck<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        if let Some(breaker) = &self.breaker
            && let Some(refusal) = breaker.0.switch.recall(|| breaker.is_probing(cx), Instant::now)
        {
            return Err(CallSite { cx, step: &self.step }.refused(&refusal));
        }
        if self.reports_start {
            cx.report_start();
        }
        self.step.run(input, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        let about = self.step.info();
        if self.breaker.is_some() { about.reporting_start() } else { about }
    }
}
