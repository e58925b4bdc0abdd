//! Times of steps inside of steps: what is inside cannot take longer than what is around it.

use std::ops::Range;
use std::time::Duration;

use crate::ir::step::Planned;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::duration::written_duration;
use crate::syntax::file::DefaultsDef;
use crate::syntax::source::Source;

/// Notes each time that can never be reached, because one further out is shorter.
pub(super) fn times(steps: &[Planned], defaults: &DefaultsDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let default = [
        defaults.timeout.as_ref().map(|timeout| timeout.at.clone()),
        defaults.deadline.as_ref().map(|deadline| deadline.at.clone()),
    ];
    steps.iter().for_each(|step| walk(step, None, &default, source, problems));
}

/// The time that all of a step has, and the step which says so.
type Bound<'a> = Option<(Duration, &'a str, &'static str)>;

fn walk<'a>(
    step: &'a Planned,
    outer: Bound<'a>,
    defaults: &[Option<Range<usize>>],
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let modifiers = &step.modifiers;
    let deadline = modifiers.deadline.as_ref().map(|deadline| (&deadline.at, deadline.value.0, "deadline"));
    let timeout = modifiers.timeout.as_ref();
    let attempt = timeout.and_then(|timeout| Some((&timeout.at, modifiers.longest_attempt()?, "timeout")));
    if let Some((bound, whose, what)) = outer {
        let said = deadline.iter().chain(&attempt).find(|(at, time, _)| {
            // What stands under `defaults` is meant for most steps, not for each.
            *time > bound && !defaults.contains(&Some((*at).clone()))
        });
        if let Some((at, _, word)) = said {
            let message = format!("this {word} can never be reached: the {what} of `{whose}` around it comes first");
            let hint = format!("it is {}; make this one shorter", written_duration(bound));
            problems.push(source.diagnose(Some((*at).clone()), message).with_hint(hint));
        }
    }
    // What stands in serves once the step's own time is up.
    step.fallback.iter().for_each(|rung| walk(rung, outer, defaults, source, problems));
    let own = deadline.iter().chain(&attempt).map(|(_, time, what)| (*time, &*step.id, *what));
    let inner = own.chain(outer).min_by_key(|(time, ..)| *time);
    step.kind.inner().iter().for_each(|part| walk(part, inner, defaults, source, problems));
}
