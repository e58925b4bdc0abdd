//! A step that may meet secrets and never reveals them.

use std::sync::Arc;

use llmspell::step::adapters::WithOutcome;
use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Result, Step};
use serde_json::Value;

use super::secrets::Secrets;

/// Redacts the secrets in the output, the error, the causes, and in every event and partial output below the step.
/// Rows, journals and reports take their data from here.
///
/// It wraps each tool and agent, so that no kept result contains a secret, and the whole flow, so that no secret
/// leaves it through other steps.
pub(crate) struct Redacted<In> {
    step: WithOutcome<BoxStep<In, Value>>,
    secrets: Arc<Secrets>,
}

impl<In: Send + 'static> Redacted<In> {
    /// Wraps a step; returns the step itself if there are no secrets.
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
