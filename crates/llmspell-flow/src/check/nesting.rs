//! Checks of time limits in nested steps: an inner limit must not exceed an outer one.

use std::ops::Range;
use std::time::Duration;

use crate::ir::step::Step;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::duration::format_duration;
use crate::syntax::file::DefaultsDef;
use crate::syntax::source::Source;

/// Adds a problem for each time limit that can never be reached, because an outer one is shorter.
pub(super) fn times(steps: &[Step], defaults: &DefaultsDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let default = [
        defaults.timeout.as_ref().map(|timeout| timeout.at.clone()),
        defaults.deadline.as_ref().map(|deadline| deadline.at.clone()),
    ];
    steps.iter().for_each(|step| walk(step, None, &default, source, problems));
}

/// The shortest time limit around a step, with the step and the modifier that set it.
type Bound<'a> = Option<(Duration, &'a str, &'static str)>;

fn walk<'a>(
    step: &'a Step,
    outer: Bound<'a>,
    defaults: &[Option<Range<usize>>],
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let modifiers = &step.modifiers;
    let deadline = modifiers.deadline.as_ref().map(|deadline| (&deadline.at, deadline.value.0, "deadline"));
    let timeout = modifiers.timeout.as_ref();
    let attempt = timeout.and_then(|timeout| Some((&timeout.at, modifiers.longest_attempt()?, "timeout")));
    if let Some((bound, owner, outer_key)) = outer {
        let exceeding = deadline.iter().chain(&attempt).find(|(at, time, _)| {
            // `defaults` are meant for most steps, not for each.
            *time > bound && !defaults.contains(&Some((*at).clone()))
        });
        if let Some((at, _, key)) = exceeding {
            let message =
                format!("this {key} can never be reached: the {outer_key} of `{owner}` around it comes first");
            let hint = format!("make this one shorter than {}", format_duration(bound));
            problems.push(source.diagnose(Some((*at).clone()), message).with_hint(hint));
        }
    }
    // A fallback runs after the limits of its step, so only the outer limits apply to it.
    step.fallback.iter().for_each(|fallback| walk(fallback, outer, defaults, source, problems));
    let own = deadline.iter().chain(&attempt).map(|(_, time, what)| (*time, &*step.id, *what));
    let inner = own.chain(outer).min_by_key(|(time, ..)| *time);
    step.kind.inner().iter().for_each(|part| walk(part, inner, defaults, source, problems));
}
