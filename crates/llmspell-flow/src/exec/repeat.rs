//! A step that repeats other steps until an expression holds.

use llmspell::step::StepInfo;
use llmspell::{Context, Error, Result, Step};
use serde_json::Value;

use super::scope::Scope;
use super::scoped_step::Sequence;
use crate::template::Expr;

pub(super) struct Repeat {
    pub(super) steps: Sequence,
    pub(super) until: Expr,
    pub(super) max: u32,
}

impl Step for Repeat {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let mut last = Value::Null;
        for round in 0..self.max {
            let done = self.steps.run(scope.for_round(round as usize, &last), cx).await?;
            let enough = self.until.holds(&done.value())?;
            last = done.into_last();
            if enough {
                return Ok(last);
            }
        }
        let rounds = if self.max == 1 { "1 round".to_owned() } else { format!("{} rounds", self.max) };
        cx.mark_partial(Error::failed(format!("`until` did not hold after {rounds}")).with_hint("raise `max`"));
        Ok(last)
    }

    fn info(&self) -> StepInfo<'_> {
        self.steps.info()
    }
}
