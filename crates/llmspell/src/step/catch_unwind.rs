//! Panics as errors.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;
use crate::runtime::executor::catch_panic;

/// A step whose panics are errors; made by [`Step::catch_panic`].
#[derive(Clone)]
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
        // Within a future of ours: a step may panic before it has made its own.
        let work = pin!(Some(async { self.step.run(input, cx).await }));
        let mut work = Work(work);
        poll_fn(|task| {
            let poll = catch_panic(|| {
                let poll = work.0.as_mut().as_pin_mut().map_or(Poll::Pending, |work| work.poll(task));
                // Here, for a panic in a destructor is an error, too.
                if poll.is_ready() {
                    work.0.set(None);
                }
                poll
            });
            // After a panic it is not polled again: nothing sees what the panic has left half done.
            poll.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
        })
        .await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// The future of a step, dropped without letting a panic out.
struct Work<'a, F>(Pin<&'a mut Option<F>>);

impl<F> Drop for Work<'_, F> {
    fn drop(&mut self) {
        // Whoever drops it has gone on: nobody is left to be told.
        let _ = catch_panic(|| self.0.set(None));
    }
}
