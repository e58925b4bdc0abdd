//! A race in which not everybody takes part.

use std::sync::Arc;

use llmspell::pattern::race::Contenders;
use llmspell::{BoxStep, Context, Race, Result, Step, StepInfo, race};
use serde_json::Value;

use super::scope::Scope;
use crate::syntax::file::FirstDef;
use crate::template::Formula;

/// Races those contenders whose `when` holds of the record; null, if there is none.
pub(super) struct Admitted {
    pub(super) contenders: Vec<Contender>,
    pub(super) first: FirstDef,
}

pub(super) struct Contender {
    pub(super) when: Option<Arc<Formula>>,
    pub(super) step: Arc<BoxStep<Scope, Value>>,
}

impl Contender {
    /// What cannot be told is told by the step itself.
    fn takes_part(&self, seen: &minijinja::Value) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(seen).unwrap_or(true))
    }
}

impl Step for Admitted {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let admitted: Vec<_> = {
            let seen = scope.value();
            let admitted = self.contenders.iter().filter(|contender| contender.takes_part(&seen));
            admitted.map(|contender| contender.step.clone()).collect()
        };
        match admitted.is_empty() {
            true => Ok(Value::Null),
            false => decided(race(admitted), self.first).run(scope, cx).await,
        }
    }

    fn info(&self) -> StepInfo<'_> {
        let all = self.contenders.iter().map(|contender| contender.step.info());
        all.reduce(StepInfo::and).unwrap_or_default()
    }
}

/// A race with what decides it.
pub(super) fn decided<C: Contenders>(race: Race<C>, first: FirstDef) -> Race<C> {
    match first {
        FirstDef::Success => race,
        FirstDef::Completion => race.first_complete(),
        FirstDef::Output => race.first_output(),
    }
}
