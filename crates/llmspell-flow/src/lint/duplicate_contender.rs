//! Contenders of a race that do the same.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "duplicate-contender",
    explanation: "Two contenders of a race do the same. Each record pays for both, where `hedge` would start a second call only if the first is slow.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let StepKind::Race { contenders, .. } = &step.kind else { continue };
        for (index, one) in contenders.iter().enumerate() {
            if let Some(same) = contenders[..index].iter().find(|other| other.fingerprint == one.fingerprint) {
                let message = format!("`{}` does the same as `{}`", one.id, same.id);
                let hint = "use `hedge` for a second call of a slow step: it costs only where it is needed";
                warnings.push(&one.at, message, hint);
            }
        }
    }
}
