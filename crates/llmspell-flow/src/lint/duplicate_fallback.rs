//! Fallbacks that do the same as what they stand in for.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "duplicate-fallback",
    explanation: "A fallback does the same as the step that has failed, so it is likely to fail in the same way.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let mut before = vec![(&step.kind, step.without_fallback)];
        for rung in &step.fallback {
            // A fallback behind a value that cannot fail has a warning of its own.
            let is_reached =
                !before.iter().any(|(kind, _)| matches!(kind, StepKind::Value(value) if value.literal().is_some()));
            if is_reached && before.iter().any(|(_, same)| *same == rung.fingerprint) {
                let hint = "to try the same again, use `retry`; let a fallback do something else";
                warnings.push(&rung.at, "this does the same as what it stands in for".to_owned(), hint);
            }
            before.push((&rung.kind, rung.fingerprint));
        }
    }
}
