//! A step under a limit.

use super::Limit;
use crate::context::{AcquiredPermit, Context};
use crate::error::Result;
use crate::runtime::timing::yield_if_due;
use crate::step::{Step, StepInfo};

/// The most items that a stream keeps in flight because of an adaptive limit.
const MAX_IN_FLIGHT: usize = 1024;

/// A step under a limit; created by [`Step::limit`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Limited<S> {
    step: S,
    limit: Limit,
    /// Whether this adapter reports the start of a call, because no adapter further in does.
    reports_start: bool,
}

impl<S: Step> Limited<S> {
    pub(crate) fn new(step: S, limit: Limit) -> Self {
        let reports_start = limit.semaphore.is_some() && !step.info().reports_start;
        Limited { step, limit, reports_start }
    }
}

impl<S: Step> Step for Limited<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(semaphore) = &self.limit.semaphore else { return self.step.run(input, cx).await };
        yield_if_due().await;
        let permit = match AcquiredPermit::try_acquire(semaphore) {
            Some(permit) => permit,
            None => {
                let wait = Limit::wait(semaphore, cx, self.step.info().name);
                wait.await.map_err(|error| error.at(|| cx.path()))?
            }
        };
        let cx = cx.under_permit(permit, None);
        if self.reports_start {
            cx.report_start();
        }
        match &self.limit.adaptive {
            None => self.step.run(input, &cx).await,
            Some(adaptive) => adaptive.run(&self.step, input, &cx).await,
        }
    }

    fn info(&self) -> StepInfo<'_> {
        let Some(max) = self.limit.max_permits() else { return self.step.info() };
        let info = self.step.info().limited(max).reporting_start();
        match &self.limit.adaptive {
            // It grows only while all of it is in use, so one more item should be waiting.
            Some(adaptive) => info.in_flight(info.default_in_flight.max(adaptive.max().min(MAX_IN_FLIGHT) + 1)),
            None => info,
        }
    }
}
