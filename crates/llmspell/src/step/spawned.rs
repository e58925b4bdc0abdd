//! A step on its own task.

use std::sync::Arc;
use std::time::Duration;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;

/// A step that runs on its own task; made by [`Step::spawned`].
///
/// A panic of the task becomes the error of the step. Dropping the call asks the task to stop
/// ([`Context::is_cancelled`]), and aborts it at its next `await` after the [grace period](Spawned::grace). A
/// task that reaches no `await` is a runaway: it keeps its permits, and an event records it.
#[derive(Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Spawned<S> {
    step: Arc<S>,
    grace: Duration,
}

impl<S> Clone for Spawned<S> {
    fn clone(&self) -> Self {
        Spawned { step: self.step.clone(), grace: self.grace }
    }
}

impl<S> Spawned<S> {
    pub(crate) fn new(step: S) -> Self {
        Spawned { step: Arc::new(step), grace: Duration::ZERO }
    }

    /// Sets how long the task may run after its caller is gone, to clean up once [`Context::cancelled`]
    /// completes. The default is zero.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl<S: Step> Step for Spawned<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let step = self.step.clone();
        cx.spawned(self.grace, |cx| async move { step.run(input, &cx).await }).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
