//! A race whose contenders can have conditions.

use std::sync::Arc;

use llmspell::pattern::race::Contenders;
use llmspell::pattern::race::Race;
use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Result, Step, race};
use serde_json::Value;

use super::scope::Scope;
use crate::syntax::file::FirstDef;
use crate::template::Expr;

/// A race between the contenders whose `when` holds for the record; null if there are none.
pub(super) struct ConditionalRace {
    pub(super) contenders: Vec<Contender>,
    pub(super) first: FirstDef,
}

pub(super) struct Contender {
    pub(super) when: Option<Arc<Expr>>,
    pub(super) step: Arc<BoxStep<Scope, Value>>,
}

impl Contender {
    /// Returns whether the contender takes part. If the condition fails to compute, it does, and reports the error
    /// itself.
    fn is_eligible(&self, view: &minijinja::Value) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(view).unwrap_or(true))
    }
}

impl Step for ConditionalRace {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let eligible: Vec<_> = {
            let view = scope.value();
            let eligible = self.contenders.iter().filter(|contender| contender.is_eligible(&view));
            eligible.map(|contender| contender.step.clone()).collect()
        };
        match eligible.is_empty() {
            true => Ok(Value::Null),
            false => decided_by(race(eligible), self.first).run(scope, cx).await,
        }
    }

    fn info(&self) -> StepInfo<'_> {
        let all = self.contenders.iter().map(|contender| contender.step.info());
        all.reduce(StepInfo::and).unwrap_or_default()
    }
}

/// Sets the result by which the race is decided.
pub(super) fn decided_by<C: Contenders>(race: Race<C>, first: FirstDef) -> Race<C> {
    match first {
        FirstDef::Success => race,
        FirstDef::Completion => race.first_complete(),
        FirstDef::Output => race.first_output(),
    }
}
