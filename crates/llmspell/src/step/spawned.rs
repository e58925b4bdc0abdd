//! A step on a task of its own.

use std::sync::Arc;
use std::time::Duration;

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;
use crate::runtime::executor;

/// A step that runs on a task of its own; made by [`Step::spawned`].
///
/// Its panic is its error. Dropping the call tells the task to stop ([`Context::is_cancelled`]) and stops it at
/// its next `await`, after the [grace](Spawned::grace) if there is one. A task that does not get to an `await`
/// is a runaway: it keeps its permits, and the events tell of it.
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

    /// How long the task may go on after its caller has gone, to end in good order once
    /// [`Context::cancelled`] tells it to. The default is no time at all.
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
        executor::spawned(cx, self.grace, |cx| async move { step.run(input, &cx).await }).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
