//! Inputs that are not `Clone`, shared through an [`Arc`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A step over `Arc<T>` as one over `T`; made by [`Step::shared`].
#[must_use = "a step does nothing until it runs"]
pub struct Shared<S, T> {
    step: S,
    input: PhantomData<fn(T)>,
}

impl<S: fmt::Debug, T> fmt::Debug for Shared<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<S: Clone, T> Clone for Shared<S, T> {
    fn clone(&self) -> Self {
        Shared { step: self.step.clone(), input: PhantomData }
    }
}

impl<S, T> Shared<S, T> {
    pub(crate) fn new(step: S) -> Self {
        Shared { step, input: PhantomData }
    }
}

impl<S, T> Step for Shared<S, T>
where
    S: Step<In = Arc<T>>,
    T: Send + Sync + 'static,
{
    type In = T;
    type Out = S::Out;

    async fn run(&self, input: T, cx: &Context) -> Result<S::Out> {
        self.step.run(Arc::new(input), cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
