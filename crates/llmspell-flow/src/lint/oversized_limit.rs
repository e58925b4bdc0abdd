//! Limits that are larger than the number of branches.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "oversized-limit",
    explanation: "The `limit` of concurrent branches is larger than their number, so it has no effect.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        if let StepKind::Concurrent { branches, limit: Some(limit), .. } = &step.kind
            && *limit > branches.len()
        {
            let message = format!("a limit of {limit}, but only {} branches", branches.len());
            warnings.push(&step.at, message, "leave `limit` out, or make it smaller than the number of branches");
        }
    }
}
