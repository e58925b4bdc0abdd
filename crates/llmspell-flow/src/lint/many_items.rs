//! Limits on the items of one record that are too high to help.

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

/// More items of one record at once are a mistake.
const MANY_AT_ONCE: usize = 1000;

pub(super) const RULE: Rule = Rule {
    id: "many-items",
    explanation: "A step may work on more than 1000 items of one record at once, and on as many again for each other record in flight.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        if let StepKind::Items { limit, .. } = &step.kind
            && *limit > MANY_AT_ONCE
        {
            let message = format!("{limit} items of one record at once");
            warnings.push(&step.at, message, "as many again for each record in flight; a limit up to 1000 is plenty");
        }
    }
}
