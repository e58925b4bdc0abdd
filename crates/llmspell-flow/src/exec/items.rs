//! A step that runs other steps for each item of a list.

use std::sync::Arc;

use llmspell::step::StepInfo;
use llmspell::{Context, Error, ErrorKind, Result, Step};
use serde_json::Value;

use super::scope::Scope;
use super::scoped_step::Sequence;
use crate::template::Expr;

pub(super) struct Items {
    pub(super) list: Expr,
    pub(super) steps: Arc<Sequence>,
    pub(super) limit: usize,
    /// Whether items that fail are left out.
    pub(super) skip: bool,
}

impl Step for Items {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let items = match self.list.json(&scope.value())? {
            Value::Array(items) => items,
            other => return Err(self.list.not_a_list(&other)),
        };
        let count = items.len();
        let scopes: Vec<Scope> = items.iter().enumerate().map(|(index, item)| scope.for_item(item, index)).collect();
        let mut stream = self.steps.clone().stream(scopes, cx).limit(self.limit).ordered();
        let (mut outputs, mut failed) = (Vec::with_capacity(count), Vec::new());
        while let Some(outcome) = stream.next().await {
            let index = outcome.index;
            match cx.merge_outcome(outcome) {
                Ok(scope) => outputs.push(scope.into_last()),
                Err(error) if self.skip && error.kind() != ErrorKind::Cancelled => failed.push(with_item(index, error)),
                Err(error) => {
                    stream.stop().await;
                    return Err(with_item(index, error));
                }
            }
        }
        if outputs.len() + failed.len() < count {
            // The stream ended early because the run was cancelled.
            return Err(Error::new(ErrorKind::Cancelled, "cancelled before every item was done"));
        }
        if outputs.is_empty() && !failed.is_empty() {
            let message = format!("all {count} items failed; {}", failed[0].message());
            return Err(Error::new(failed[0].kind(), message).with_causes(failed));
        }
        failed.into_iter().for_each(|error| cx.mark_partial(error));
        Ok(Value::Array(outputs))
    }

    fn info(&self) -> StepInfo<'_> {
        self.steps.info()
    }
}

/// Adds the index of the item to the error.
fn with_item(index: usize, error: Error) -> Error {
    let message = format!("item {index}: {}", error.message());
    error.with_message(message)
}
