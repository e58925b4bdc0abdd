//! Results with their history.

use super::{About, Step};
use crate::context::Context;
use crate::error::Result;
use crate::outcome::Outcome;

/// A step that returns an [`Outcome`] instead of failing; made by [`Step::observed`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Observed<S> {
    step: S,
}

impl<S> Observed<S> {
    pub(crate) fn new(step: S) -> Self {
        Observed { step }
    }
}

impl<S: Step> Step for Observed<S> {
    type In = S::In;
    type Out = Outcome<S::Out>;

    async fn run(&self, input: S::In, cx: &Context) -> Result<Outcome<S::Out>> {
        let cx = cx.scope(None);
        let result = self.step.run(input, &cx).await;
        Ok(Outcome::new(0, result, &cx))
    }

    fn about(&self) -> About<'_> {
        self.step.about()
    }
}
