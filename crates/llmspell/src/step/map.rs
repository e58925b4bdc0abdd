//! A synchronous function on the output of a step.

use std::fmt;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A step with its output transformed; made by [`Step::map`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Map<S, F> {
    step: S,
    change: F,
}

// By hand, because closures are not `Debug`.
impl<S: fmt::Debug, F> fmt::Debug for Map<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<S, F> Map<S, F> {
    pub(crate) fn new(step: S, change: F) -> Self {
        Map { step, change }
    }
}

impl<S, F, T> Step for Map<S, F>
where
    S: Step,
    F: Fn(S::Out) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    type In = S::In;
    type Out = T;

    async fn run(&self, input: S::In, cx: &Context) -> Result<T> {
        Ok((self.change)(self.step.run(input, cx).await?))
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
