//! A second check of a breaker, after a call has waited in a queue.

use tokio::time::Instant;

use super::Breaker;
use super::with_breaker::CallSite;
use crate::context::Context;
use crate::error::Result;
use crate::step::{Step, StepInfo};

/// A step that is not called if the breaker has opened while the call waited, unless the call is a probe.
///
/// In the canonical order the breaker stands in front of the limit. A thousand calls that wait for a permit have been
/// admitted already when the first of them fail. Without a second check, all of them would run.
#[derive(Clone, Debug)]
pub(crate) struct BreakerRecheck<S> {
    step: S,
    breaker: Option<Breaker>,
    /// Whether this adapter reports the start of a call, because no adapter further in does.
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
            && let Some(rejection) = breaker.0.circuit.recheck(|| breaker.is_probing(cx), Instant::now)
        {
            return Err(CallSite { cx, step: &self.step }.reject(&rejection));
        }
        if self.reports_start {
            cx.report_start();
        }
        self.step.run(input, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        let info = self.step.info();
        if self.breaker.is_some() { info.reporting_start() } else { info }
    }
}
