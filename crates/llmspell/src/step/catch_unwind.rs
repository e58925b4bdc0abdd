//! Panics as errors.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;
use crate::runtime::executor::catch_panic;

/// A step whose panics become errors; made by [`Step::catch_panic`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct CatchUnwind<S> {
    step: S,
}

impl<S> CatchUnwind<S> {
    pub(crate) fn new(step: S) -> Self {
        CatchUnwind { step }
    }
}

impl<S: Step> Step for CatchUnwind<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        // Inside our own future, because a step may panic before it has created its own.
        let work = pin!(Some(async { self.step.run(input, cx).await }));
        let mut work = CaughtFuture(work);
        poll_fn(|task| {
            let poll = catch_panic(|| {
                let poll = work.0.as_mut().as_pin_mut().map_or(Poll::Pending, |work| work.poll(task));
                // Dropped inside `catch_panic`, because a panic in a destructor is an error, too.
                if poll.is_ready() {
                    work.0.set(None);
                }
                poll
            });
            // The future is not polled again after a panic, so no code sees the state that the panic left
            // half-changed.
            poll.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
        })
        .await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// The future of a step. Dropping it catches panics of its destructor.
struct CaughtFuture<'a, F>(Pin<&'a mut Option<F>>);

impl<F> Drop for CaughtFuture<'_, F> {
    fn drop(&mut self) {
        // The caller that drops the future no longer waits for a result, so the panic has no receiver.
        let _ = catch_panic(|| self.0.set(None));
    }
}
