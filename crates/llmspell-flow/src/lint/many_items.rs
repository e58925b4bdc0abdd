//! Limits on the items of one record that are too high to help.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

/// A higher limit on the items of one record is probably a mistake.
const MAX_ITEMS: usize = 1000;

pub(super) const RULE: Rule = Rule {
    id: "many-items",
    explanation: "A step may process more than 1000 items of one record at a time, and as many for each other record in flight.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        if let StepKind::Items { limit, .. } = &step.kind
            && *limit > MAX_ITEMS
        {
            let message = format!("up to {limit} items of one record at a time");
            warnings.push(&step.at, message, "set `limit` to at most 1000: it applies to each record in flight");
        }
    }
}
