//! Attempts that do not fit into the deadline.

use std::time::Duration;

use super::{Rule, Subject, Warnings};
use crate::syntax::duration::format_duration;

pub(super) const RULE: Rule = Rule {
    id: "attempts-past-deadline",
    explanation: "The timeouts of all attempts add up to more than the deadline, so the last attempts are cut short.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        let Some((at, times)) = subject.own_timeouts(step) else { continue };
        let attempts = step.modifiers.attempts();
        let (Some(deadline), Some(last)) = (&step.modifiers.deadline, times.last()) else { continue };
        let all: Duration = (0..attempts as usize).map(|attempt| *times.get(attempt).unwrap_or(last)).sum();
        if attempts > 1 && all > deadline.value.0 {
            let (all, deadline) = (format_duration(all), format_duration(deadline.value.0));
            let message = format!("{attempts} attempts may take {all}, but the deadline comes after {deadline}");
            let hint =
                "shorten the timeouts, reduce the attempts, or raise `deadline`: the last attempts are cut short";
            warnings.push(at, message, hint);
        }
    }
}
