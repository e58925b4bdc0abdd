//! The declaration that a step is idempotent.

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A step declared idempotent; made by [`Step::idempotent`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Idempotent<S> {
    step: S,
}

impl<S> Idempotent<S> {
    pub(crate) fn new(step: S) -> Self {
        Idempotent { step }
    }
}

impl<S: Step> Step for Idempotent<S> {
    type In = S::In;
    type Out = S::Out;

    fn run(&self, input: S::In, cx: &Context) -> impl Future<Output = Result<S::Out>> + Send {
        self.step.run(input, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info().idempotent()
    }
}
