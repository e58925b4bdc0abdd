//! Steps that run on the scope of a record and add their outputs to it.

use std::sync::Arc;

use llmspell::pattern::concurrent::Settle;
use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Error, ErrorKind, Result, Step};
use serde_json::{Map, Value};

use super::scope::Scope;
use crate::template::{Expr, Template};

/// A step whose output is added to the scope of the record; null if its condition does not hold.
pub(super) struct ScopedStep {
    pub(super) id: Arc<str>,
    pub(super) when: Option<Arc<Expr>>,
    pub(super) step: BoxStep<Scope, Value>,
}

impl Step for ScopedStep {
    type In = Scope;
    type Out = Scope;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Scope> {
        let runs = self.when.as_ref().map_or(Ok(true), |when| when.holds(&scope.value()))?;
        let output = if runs { self.step.run(scope.clone(), cx).await? } else { Value::Null };
        Ok(scope.with(&self.id, output))
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// A step that renders a value with templates.
pub(super) struct Rendered(pub(super) Template);

impl Step for Rendered {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, _: &Context) -> Result<Value> {
        self.0.render(&scope.value())
    }

    fn info(&self) -> StepInfo<'_> {
        StepInfo::default().idempotent()
    }
}

/// Steps that run one after another.
pub(super) struct Sequence(pub(super) Vec<llmspell::step::adapters::Named<BoxStep<Scope, Scope>>>);

impl Step for Sequence {
    type In = Scope;
    type Out = Scope;

    async fn run(&self, mut scope: Scope, cx: &Context) -> Result<Scope> {
        for step in &self.0 {
            scope = step.run(scope, cx).await?;
        }
        Ok(scope)
    }

    fn info(&self) -> StepInfo<'_> {
        self.0.iter().map(Step::info).fold(StepInfo::default().idempotent(), StepInfo::and)
    }
}

/// Concurrent steps whose failures are left out of the result.
pub(super) struct Branches {
    pub(super) ids: Vec<Arc<str>>,
    pub(super) steps: Settle<Vec<BoxStep<Scope, Value>>>,
}

impl Step for Branches {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let mut table = Map::new();
        let mut failed = Vec::new();
        for (id, outcome) in self.ids.iter().zip(self.steps.run(scope, cx).await?) {
            match cx.merge_outcome(outcome) {
                Ok(output) => {
                    table.insert(id.to_string(), output);
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => failed.push(error),
            }
        }
        if table.is_empty() && !failed.is_empty() {
            let message = format!("all {} branches failed: {}", failed.len(), failed[0].message());
            return Err(Error::new(failed[0].kind(), message).with_causes(failed));
        }
        failed.into_iter().for_each(|error| cx.mark_partial(error));
        Ok(Value::Object(table))
    }

    fn info(&self) -> StepInfo<'_> {
        self.steps.info()
    }
}
