//! Fallbacks that repeat their step.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "duplicate-fallback",
    explanation: "A fallback does the same as the step that has failed, so it is likely to fail in the same way.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let mut before = vec![(&step.kind, step.without_fallback)];
        for fallback in &step.fallback {
            // `unreachable-fallback` reports a fallback behind a value that cannot fail.
            let is_reached =
                !before.iter().any(|(kind, _)| matches!(kind, StepKind::Value(value) if value.literal().is_some()));
            if is_reached && before.iter().any(|(_, same)| *same == fallback.fingerprint) {
                let hint = "use `retry` to try the same again; let a fallback do something else";
                warnings.push(&fallback.at, "this fallback does the same as its step".to_owned(), hint);
            }
            before.push((&fallback.kind, fallback.fingerprint));
        }
    }
}
