//! Type-erased steps.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A type-erased step, for a vector of different steps or a short type name; made by [`Step::boxed`].
///
/// Cloning is cheap: clones share one step.
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

impl<In, Out> fmt::Debug for BoxStep<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStep").field("name", &self.step.info().name).finish_non_exhaustive()
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
