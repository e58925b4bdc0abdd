//! Timeouts that get shorter from attempt to attempt.

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "decreasing-timeouts",
    explanation: "A later attempt has less time than an earlier one that was too slow, so it is unlikely to succeed.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let Some((at, times)) = subject.own_timeouts(step) else { continue };
        if times.windows(2).any(|pair| pair[1] < pair[0]) {
            let hint = "give each attempt at least the time of the one before";
            warnings.push(at, "a later attempt has less time than an earlier one".to_owned(), hint);
        }
    }
}
