//! Panics as errors.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::{About, Step};
use crate::context::Context;
use crate::error::Result;
use crate::executor::contained;

/// A step whose panics are errors; made by [`Step::contained`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Contained<S> {
    step: S,
}

impl<S> Contained<S> {
    pub(crate) fn new(step: S) -> Self {
        Contained { step }
    }
}

impl<S: Step> Step for Contained<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let mut work = pin!(self.step.run(input, cx));
        // After a panic it is not polled again: nothing sees what the panic has left half done.
        poll_fn(|task| contained(|| work.as_mut().poll(task)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))).await
    }

    fn about(&self) -> About<'_> {
        self.step.about()
    }
}
