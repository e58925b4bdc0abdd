//! A step whose results are memoized for each record.

use llmspell::step::adapters::WithOutcome;
use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Outcome, Result, Step};
use serde_json::Value;

use super::memo::{CachedResult, StepKey};
use super::scope::Scope;

/// A step that does not repeat its work for a record that has a result from this session or an earlier one.
pub(super) struct Memoized {
    pub(super) key: StepKey,
    pub(super) step: WithOutcome<BoxStep<Scope, Value>>,
}

impl Step for Memoized {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let Some(memo) = scope.memo().cloned() else {
            return cx.merge_outcome(self.step.run(scope, cx).await?);
        };
        let item = scope.item_path();
        if let Some(CachedResult { output, quality, causes, provenance }) = memo.recall(&self.key, &item) {
            return cx.restore_outcome(Outcome::restored(Ok(output), quality, causes, provenance));
        }
        let outcome = self.step.run(scope, cx).await?;
        if let Ok(output) = &outcome.result {
            let (quality, causes, provenance) = (outcome.quality, outcome.causes.clone(), outcome.provenance.clone());
            memo.keep(&self.key, &item, &CachedResult { output: output.clone(), quality, causes, provenance }).await?;
        }
        cx.merge_outcome(outcome)
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
