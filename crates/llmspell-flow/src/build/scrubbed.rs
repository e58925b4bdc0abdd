//! A step that may meet secrets: nothing that it tells has them.

use std::sync::Arc;

use llmspell::{About, BoxStep, Context, Observed, Result, Step};
use serde_json::Value;

use crate::scope::Scope;
use crate::secret::Secrets;

/// Takes them out of its output, of its error, and of what it says failed on the way: whoever writes down what comes
/// of a step, be it as a row or in a journal, gets it from here.
pub(super) struct Scrubbed {
    pub(super) step: Observed<BoxStep<Scope, Value>>,
    pub(super) secrets: Arc<Secrets>,
}

impl Step for Scrubbed {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let mut outcome = self.step.run(scope, cx).await?;
        self.secrets.scrub_outcome(&mut outcome);
        cx.adopt(outcome)
    }

    fn about(&self) -> About<'_> {
        self.step.about()
    }
}
