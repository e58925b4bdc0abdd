//! Results with their quality and provenance.

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;
use crate::observe::outcome::Outcome;

/// A step that returns an [`Outcome`] instead of failing; made by [`Step::with_outcome`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct WithOutcome<S> {
    step: S,
}

impl<S> WithOutcome<S> {
    pub(crate) fn new(step: S) -> Self {
        WithOutcome { step }
    }
}

impl<S: Step> Step for WithOutcome<S> {
    type In = S::In;
    type Out = Outcome<S::Out>;

    async fn run(&self, input: S::In, cx: &Context) -> Result<Outcome<S::Out>> {
        let cx = cx.scope(None);
        let result = self.step.run(input, &cx).await;
        Ok(cx.outcome(0, result))
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
