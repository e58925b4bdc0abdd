//! A step that may meet secrets: nothing that it tells has them.

use std::sync::Arc;

use llmspell::{BoxStep, Context, Result, Step, StepInfo, WithOutcome};
use serde_json::Value;

use super::secrets::Secrets;

/// Takes them out of its output, of its error, of what it says failed on the way, and of every event and partial output
/// below it: whoever writes down what comes of a step, be it as a row, in a journal or in a report, gets it from here.
///
/// It stands around each tool and agent, so that no result is kept with a secret in it, and around the whole flow, so
/// that nobody hears of one whatever it has passed through.
pub(crate) struct Redacted<In> {
    step: WithOutcome<BoxStep<In, Value>>,
    secrets: Arc<Secrets>,
}

impl<In: Send + 'static> Redacted<In> {
    /// The step itself if there are no secrets.
    pub(crate) fn around(step: BoxStep<In, Value>, secrets: &Arc<Secrets>) -> BoxStep<In, Value> {
        if secrets.is_empty() {
            return step;
        }
        Redacted { step: step.with_outcome(), secrets: secrets.clone() }.boxed()
    }
}

impl<In: Send + 'static> Step for Redacted<In> {
    type In = In;
    type Out = Value;

    async fn run(&self, input: In, cx: &Context) -> Result<Value> {
        let secrets = self.secrets.clone();
        let redacting = cx.with_redactor(move |text| secrets.redact_message(text));
        let mut outcome = self.step.run(input, &redacting).await?;
        self.secrets.redact_outcome(&mut outcome);
        cx.merge_outcome(outcome)
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
