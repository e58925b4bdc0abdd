//! Repetitions whose `until` is constant.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "constant-until",
    explanation: "The `until` of a repetition gives the same answer in every round, so it always takes one round or all of them.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let StepKind::Repeat { until, max, .. } = &step.kind else { continue };
        match until.always() {
            Some(true) => {
                let message = format!("`{}` always ends after its first round", step.id);
                warnings.push(&step.at, message, "use the output of a step in `until`: `steps.review.ok`");
            }
            Some(false) if *max > 1 => {
                let message = format!("`{}` always takes all {max} rounds, and is then marked as partial", step.id);
                warnings.push(&step.at, message, "use the output of a step in `until`: `steps.review.ok`");
            }
            _ => {}
        }
    }
}
