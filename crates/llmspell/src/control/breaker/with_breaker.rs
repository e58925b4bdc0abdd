//! A step behind a breaker.

use std::future::poll_fn;
use std::pin::pin;

use tokio::time::Instant;

use super::circuit::{CallPermit, Phase, Refusal, Verdict};
use super::{Breaker, rejection};
use crate::context::Context;
use crate::context::node::NodeKind;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::{EventKind, RejectedBy};
use crate::path::Path;
use crate::runtime::executor::catch_panic;
use crate::step::{Step, StepInfo};

/// A step behind a [`Breaker`]; made by [`Step::breaker`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct WithBreaker<S> {
    step: S,
    /// `None` means that there is no breaker.
    breaker: Option<Breaker>,
    /// Whether it is for this one to say that a call has begun.
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
        if breaker.0.switch.phase() == Phase::HalfOpen && breaker.is_probing(cx) {
            // Part of a probe: asked for one of its own, it would stand in its own way.
            if self.reports_start {
                cx.report_start();
            }
            return self.step.run(input, cx).await;
        }
        let mut call = CallGuard::admit(breaker, CallSite { cx, step: &self.step })?;
        if self.reports_start {
            cx.report_start();
        }
        // Whoever looks at the breaker again further in must know it.
        let probing = call.is_probe().then(|| cx.child(NodeKind::Probe(breaker.address())));
        let cx = probing.as_ref().unwrap_or(cx);
        let result = {
            // Begun when it is first polled, so that a closure that panics before it has a future is seen, too.
            let mut work = pin!(async { self.step.run(input, cx).await });
            poll_fn(|task| {
                call.inside = true;
                let poll = work.as_mut().poll(task);
                call.inside = false;
                poll
            })
            .await
        };
        call.end(&result);
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let about = self.step.info();
        if self.breaker.is_some() { about.reporting_start() } else { about }
    }
}

/// Where calls are let in: under a context, in front of a step.
pub(super) struct CallSite<'a, S> {
    pub(super) cx: &'a Context,
    pub(super) step: &'a S,
}

impl<S: Step> CallSite<'_, S> {
    /// The path of the step if it has a name, for then its call has not begun.
    fn named(&self) -> Option<Path> {
        self.step.info().name.map(|name| self.cx.path().join(name))
    }

    /// Says that a call is not made, and why.
    pub(super) fn refused(&self, rejection: &Refusal) -> Error {
        let error = rejection.error();
        self.cx.record_event(|| EventKind::Refused {
            step: self.named(),
            by: RejectedBy::Breaker,
            error: (&error).into(),
        });
        error.at(|| self.named().unwrap_or_else(|| self.cx.path()))
    }
}

/// A call that was let in. However it ends, the breaker hears of it.
struct CallGuard<'a, S: Step> {
    breaker: &'a Breaker,
    place: CallSite<'a, S>,
    /// `None` once it has been handed back.
    ticket: Option<CallPermit>,
    /// Whether the step itself is running: if it is dropped then, it has panicked.
    inside: bool,
}

impl<'a, S: Step> CallGuard<'a, S> {
    #[inline]
    fn admit(breaker: &'a Breaker, place: CallSite<'a, S>) -> Result<Self> {
        match breaker.0.switch.pass() {
            Some(ticket) => Ok(CallGuard { breaker, place, ticket: Some(ticket), inside: false }),
            None => CallGuard::ask(breaker, place),
        }
    }

    #[cold]
    fn ask(breaker: &'a Breaker, place: CallSite<'a, S>) -> Result<Self> {
        let (ticket, change) = breaker.0.switch.admit(Instant::now).map_err(|rejection| place.refused(&rejection))?;
        let call = CallGuard { breaker, place, ticket: Some(ticket), inside: false };
        rejection::report(change, call.place.cx, || call.place.named());
        Ok(call)
    }

    fn is_probe(&self) -> bool {
        self.ticket.as_ref().is_some_and(CallPermit::is_probe)
    }

    fn end<T>(mut self, result: &Result<T>) {
        let verdict = self.breaker.verdict(result);
        self.settle(verdict);
    }

    fn settle(&mut self, verdict: Verdict<'_>) {
        if let Some(ticket) = self.ticket.take() {
            let change = self.breaker.0.switch.settle(ticket, verdict, Instant::now);
            rejection::report(change, self.place.cx, || self.place.named());
        }
    }
}

impl<S: Step> Drop for CallGuard<'_, S> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        if self.inside {
            let result: Result<()> = Err(Error::new(ErrorKind::Panicked, "panicked"));
            // While one panic unwinds, another one in the closure of the user would end the process.
            let verdict = catch_panic(|| self.breaker.verdict(&result));
            self.settle(verdict.unwrap_or(Verdict::Neither));
        } else if self.breaker.0.dropped {
            self.settle(Verdict::Failure(&Error::new(ErrorKind::Cancelled, "dropped before it ended")));
        } else {
            self.settle(Verdict::Neither);
        }
    }
}
