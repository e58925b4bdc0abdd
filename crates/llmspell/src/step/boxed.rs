//! Steps behind a pointer.

use std::pin::Pin;
use std::sync::Arc;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A step whose type is hidden: steps of different types in one vector, or a type short enough to name.
/// Made by [`Step::boxed`]; cheap to clone.
#[must_use = "a step does nothing until it runs"]
pub struct BoxStep<In, Out> {
    step: Arc<dyn DynStep<In, Out>>,
}

trait DynStep<In, Out>: Send + Sync {
    fn run<'a>(&'a self, input: In, cx: &'a Context) -> Pin<Box<dyn Future<Output = Result<Out>> + Send + 'a>>;
    fn info(&self) -> StepInfo<'_>;
}

impl<S: Step> DynStep<S::In, S::Out> for S {
    fn run<'a>(&'a self, input: S::In, cx: &'a Context) -> Pin<Box<dyn Future<Output = Result<S::Out>> + Send + 'a>> {
        Box::pin(Step::run(self, input, cx))
    }

    fn info(&self) -> StepInfo<'_> {
        Step::info(self)
    }
}

impl<In: Send + 'static, Out: Send + 'static> BoxStep<In, Out> {
    pub(crate) fn new(step: impl Step<In = In, Out = Out>) -> Self {
        BoxStep { step: Arc::new(step) }
    }
}

impl<In, Out> Clone for BoxStep<In, Out> {
    fn clone(&self) -> Self {
        BoxStep { step: self.step.clone() }
    }
}

impl<In: Send + 'static, Out: Send + 'static> Step for BoxStep<In, Out> {
    type In = In;
    type Out = Out;

    async fn run(&self, input: In, cx: &Context) -> Result<Out> {
        self.step.run(input, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }

    fn boxed(self) -> BoxStep<In, Out> {
        self
    }
}
