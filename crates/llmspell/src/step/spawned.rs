//! A step on a task of its own.

use std::sync::Arc;

use super::{About, Step};
use crate::context::Context;
use crate::error::Result;
use crate::executor;

/// A step that runs on a task of its own; made by [`Step::spawned`].
///
/// Its panic is its error. Dropping the call stops the task at its next `await`.
#[must_use = "a step does nothing until it runs"]
pub struct Spawned<S> {
    step: Arc<S>,
}

impl<S> Clone for Spawned<S> {
    fn clone(&self) -> Self {
        Spawned { step: self.step.clone() }
    }
}

impl<S> Spawned<S> {
    pub(crate) fn new(step: S) -> Self {
        Spawned { step: Arc::new(step) }
    }
}

impl<S: Step> Step for Spawned<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let (step, cx) = (self.step.clone(), cx.clone());
        // A task that its caller has dropped may still be in the middle of a poll.
        let hold = cx.hold();
        executor::spawned(async move {
            let _hold = hold;
            step.run(input, &cx).await
        })
        .await
    }

    fn about(&self) -> About<'_> {
        self.step.about()
    }
}
