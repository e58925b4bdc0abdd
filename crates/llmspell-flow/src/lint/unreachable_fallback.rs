//! Fallbacks behind a step that cannot fail.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "unreachable-fallback",
    explanation: "A fallback follows a constant value, which cannot fail, so it is never used.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let is_safe = |kind: &StepKind| matches!(kind, StepKind::Value(value) if value.literal().is_some());
    for step in subject.steps() {
        let mut sure = is_safe(&step.kind).then_some(&*step.id);
        for fallback in &step.fallback {
            if let Some(sure) = sure {
                let message = format!("this fallback is never used: `{sure}` before it is a value, and cannot fail");
                warnings.push(&fallback.at, message, "leave it out");
            }
            sure = sure.or_else(|| is_safe(&fallback.kind).then_some(&*fallback.id));
        }
    }
}
