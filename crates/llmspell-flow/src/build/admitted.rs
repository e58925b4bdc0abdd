//! A race in which not everybody takes part.

use std::sync::Arc;

use llmspell::pattern::race::Contenders;
use llmspell::{About, BoxStep, Context, Race, Result, Step, race};
use serde_json::Value;

use crate::file::FirstDef;
use crate::scope::Scope;
use crate::template::Formula;

/// Races those contenders whose `when` holds of the record; null, if there is none.
pub(super) struct Admitted {
    pub(super) contenders: Vec<(Option<Arc<Formula>>, Arc<BoxStep<Scope, Value>>)>,
    pub(super) first: FirstDef,
}

impl Step for Admitted {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let admitted: Vec<_> = {
            let seen = scope.value();
            // What cannot be told is told by the contender itself.
            let takes_part =
                |when: &Option<Arc<Formula>>| when.as_ref().is_none_or(|when| when.holds(&seen).unwrap_or(true));
            let of_scope = self.contenders.iter().filter(|(when, _)| takes_part(when));
            of_scope.map(|(_, contender)| contender.clone()).collect()
        };
        match admitted.is_empty() {
            true => Ok(Value::Null),
            false => decided(race(admitted), self.first).run(scope, cx).await,
        }
    }

    fn about(&self) -> About<'_> {
        let all = self.contenders.iter().map(|(_, contender)| contender.about());
        all.reduce(About::and).unwrap_or_default()
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
