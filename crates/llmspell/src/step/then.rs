//! Two steps in sequence.

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// Two steps in sequence; made by [`Step::then`] and [`Step::then_fn`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Then<A, B> {
    first: A,
    next: B,
}

impl<A, B> Then<A, B> {
    pub(crate) fn new(first: A, next: B) -> Self {
        Then { first, next }
    }
}

impl<A: Step, B: Step<In = A::Out>> Step for Then<A, B> {
    type In = A::In;
    type Out = B::Out;

    async fn run(&self, input: A::In, cx: &Context) -> Result<B::Out> {
        let output = self.first.run(input, cx).await?;
        self.next.run(output, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.first.info().and(self.next.info())
    }
}
