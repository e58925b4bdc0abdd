//! A step behind a breaker.

use std::future::poll_fn;
use std::pin::pin;

use tokio::time::Instant;

use super::circuit::{BreakerRejection, CallPermit, CallVerdict, Phase};
use super::{Breaker, rejection};
use crate::context::Context;
use crate::context::node::NodeKind;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::{EventKind, RejectedBy};
use crate::path::Path;
use crate::runtime::executor::catch_panic;
use crate::step::{Step, StepInfo};

/// A step behind a [`Breaker`]; created by [`Step::breaker`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct WithBreaker<S> {
    step: S,
    /// `None` means that there is no breaker.
    breaker: Option<Breaker>,
    /// Whether this adapter reports the start of a call, because no adapter further in does.
    reports_start: bool,
}

impl<S: Step> WithBreaker<S> {
    pub(crate) fn new(step: S, breaker: Option<Breaker>) -> Self {
        let reports_start = breaker.is_some() && !step.info().reports_start;
        WithBreaker { step, breaker, reports_start }
    }
}

impl<S: Step> Step for WithBreaker<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(breaker) = &self.breaker else {
            return self.step.run(input, cx).await;
        };
        if breaker.0.circuit.phase() == Phase::HalfOpen && breaker.is_probing(cx) {
            // Part of a probe. If this call needed a probe of its own, it would block itself.
            if self.reports_start {
                cx.report_start();
            }
            return self.step.run(input, cx).await;
        }
        let mut call = CallGuard::admit(breaker, CallSite { cx, step: &self.step })?;
        if self.reports_start {
            cx.report_start();
        }
        // The recheck of the breaker further in must know it.
        let probing = call.is_probe().then(|| cx.child(NodeKind::Probe(breaker.address())));
        let cx = probing.as_ref().unwrap_or(cx);
        let result = {
            // Started when it is first polled, so that a closure that panics before it returns a future counts, too.
            let mut work = pin!(async { self.step.run(input, cx).await });
            poll_fn(|task| {
                call.is_polled = true;
                let poll = work.as_mut().poll(task);
                call.is_polled = false;
                poll
            })
            .await
        };
        call.end(&result);
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let info = self.step.info();
        if self.breaker.is_some() { info.reporting_start() } else { info }
    }
}

/// The place of a call: a context and the step that would run.
pub(super) struct CallSite<'a, S> {
    pub(super) cx: &'a Context,
    pub(super) step: &'a S,
}

impl<S: Step> CallSite<'_, S> {
    /// Returns the path of the step if it has a name, because then its call has not begun.
    fn named(&self) -> Option<Path> {
        self.step.info().name.map(|name| self.cx.path().join(name))
    }

    /// Records that a call is rejected, and returns its error.
    pub(super) fn reject(&self, rejection: &BreakerRejection) -> Error {
        let error = rejection.error();
        self.cx.record_event(|| EventKind::Refused {
            step: self.named(),
            by: RejectedBy::Breaker,
            error: (&error).into(),
        });
        error.at(|| self.named().unwrap_or_else(|| self.cx.path()))
    }
}

/// A call that was admitted. However it ends, the breaker counts it.
struct CallGuard<'a, S: Step> {
    breaker: &'a Breaker,
    site: CallSite<'a, S>,
    /// `None` once the call is settled.
    permit: Option<CallPermit>,
    /// Whether the step is being polled: if the guard is dropped then, the step has panicked.
    is_polled: bool,
}

impl<'a, S: Step> CallGuard<'a, S> {
    #[inline]
    fn admit(breaker: &'a Breaker, site: CallSite<'a, S>) -> Result<Self> {
        match breaker.0.circuit.admit_if_closed() {
            Some(permit) => Ok(CallGuard { breaker, site, permit: Some(permit), is_polled: false }),
            None => CallGuard::admit_slowly(breaker, site),
        }
    }

    #[cold]
    fn admit_slowly(breaker: &'a Breaker, site: CallSite<'a, S>) -> Result<Self> {
        let (permit, change) = breaker.0.circuit.admit(Instant::now).map_err(|rejection| site.reject(&rejection))?;
        let call = CallGuard { breaker, site, permit: Some(permit), is_polled: false };
        rejection::report(change, call.site.cx, || call.site.named());
        Ok(call)
    }

    fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(CallPermit::is_probe)
    }

    fn end<T>(mut self, result: &Result<T>) {
        let verdict = self.breaker.verdict(result);
        self.settle(verdict);
    }

    fn settle(&mut self, verdict: CallVerdict<'_>) {
        if let Some(permit) = self.permit.take() {
            let change = self.breaker.0.circuit.settle(permit, verdict, Instant::now);
            rejection::report(change, self.site.cx, || self.site.named());
        }
    }
}

impl<S: Step> Drop for CallGuard<'_, S> {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        if self.is_polled {
            let result: Result<()> = Err(Error::new(ErrorKind::Panicked, "panicked"));
            // While one panic unwinds, another one in the user's closure would abort the process.
            let verdict = catch_panic(|| self.breaker.verdict(&result));
            self.settle(verdict.unwrap_or(CallVerdict::Neither));
        } else if self.breaker.0.counts_dropped {
            self.settle(CallVerdict::Failure(&Error::new(ErrorKind::Cancelled, "dropped before it ended")));
        } else {
            self.settle(CallVerdict::Neither);
        }
    }
}
