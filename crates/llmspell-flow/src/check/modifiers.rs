//! The modifiers of a step: what in them cannot work.

use std::ops::Range;

use crate::ir::repeatability::unrepeatable;
use crate::ir::step::StepKind;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::duration::Span;
use crate::syntax::file::{AdaptiveDef, After, DefaultsDef, Modifiers, Short, StepDef};
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// More attempts than this are a mistake.
const MOST_ATTEMPTS: u32 = 100;

/// Notes what cannot work.
pub(crate) fn check(
    def: &StepDef,
    modifiers: &Modifiers,
    kind: &StepKind,
    step: &Range<usize>,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let mut problem = |at: &Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    let attempts = modifiers.attempts();
    if let Some(retry) = &modifiers.retry {
        if attempts == 0 {
            let hint = "count the first attempt too, or leave `retry` out";
            problem(&retry.at, "0 attempts: the step would never run".to_owned(), hint);
        } else if attempts > MOST_ATTEMPTS {
            problem(&retry.at, format!("{attempts} attempts are too many"), "give at most 100");
        }
    }
    if def.limit_of_parts() == Some(0) {
        problem(step, "a limit of 0: nothing would ever run".to_owned(), "give at least 1, or leave `limit` out");
    }
    check_shared(modifiers, &mut problem);
    hedging(modifiers, kind, &mut problem);
    let own = def.modifiers();
    if own.timeout.is_some() {
        within_attempt(modifiers, &mut problem);
        times(modifiers, attempts, &mut problem);
    } else {
        // What stands under `defaults` is meant for most steps, not for each: what a step says otherwise is no
        // contradiction.
        let retry = modifiers.retry.clone().filter(|_| own.retry.is_none());
        let attempts = retry.as_ref().map_or(MOST_ATTEMPTS, |retry| retry.value.0.max);
        let deadline = modifiers.deadline.clone().filter(|_| own.deadline.is_none());
        let shared = Modifiers { timeout: modifiers.timeout.clone(), retry, deadline, ..Modifiers::default() };
        times(&shared, attempts, &mut problem);
    }
}

/// Notes what cannot work of `defaults`, whatever a step says besides.
pub(crate) fn check_defaults(defaults: &DefaultsDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut modifiers = Modifiers::default();
    modifiers.fill(defaults);
    within_attempt(&modifiers, &mut |at, message, hint| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    });
}

/// Notes what cannot work of what steps and models have in common.
pub(crate) fn check_shared(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let zero = |limit: &&Located<u32>| limit.value == 0;
    if let Some(limit) = modifiers.limit.as_ref().filter(zero) {
        let hint = "give at least 1, or leave `limit` out";
        problem(&limit.at, "a limit of 0: no record would ever pass this step".to_owned(), hint);
    }
    if let (Some(limit), Some(adaptive)) = (&modifiers.limit, &modifiers.adaptive)
        && !adaptive.value.0.off
    {
        let hint = "a limit that finds itself has bounds of its own: `adaptive: { max: 64 }`";
        problem(&limit.at, "both `limit` and `adaptive`".to_owned(), hint);
    }
    if let Some(adaptive) = &modifiers.adaptive {
        let AdaptiveDef { min, max, initial, .. } = adaptive.value.0;
        // What the library has where nothing is said.
        let (least, most) = (min.unwrap_or(1), max.unwrap_or(256));
        let outside = initial.is_some_and(|initial| initial < least || initial > most);
        if [min, max].contains(&Some(0)) || least > most || outside {
            let hint = "1 <= min <= initial <= max; left out, min is 1 and max 256";
            problem(&adaptive.at, "these bounds exclude each other".to_owned(), hint);
        }
    }
    if let Some(rate) =
        modifiers.rate.as_ref().filter(|rate| rate.value.0.requests.is_none() && rate.value.0.tokens.is_none())
    {
        problem(&rate.at, "a rate of nothing".to_owned(), "say `requests: 60/min`, `tokens: 90000/min`, or both");
    }
    if let Some(breaker) = &modifiers.breaker
        && breaker.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0))
    {
        problem(&breaker.at, "a share is more than 0 and at most 1".to_owned(), "0.5 is half of the calls");
    }
}

fn hedging(modifiers: &Modifiers, kind: &StepKind, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(hedge) = &modifiers.hedge else { return };
    if hedge.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        problem(&hedge.at, "a share is more than 0 and at most 1".to_owned(), "0.05 is one call in twenty");
    }
    if let Some(name) = unrepeatable(kind).filter(|_| !modifiers.idempotent) {
        let message = format!("`{name}` may not be called twice for one record");
        let hint = match name {
            "http_request" => {
                "a hedge makes a second call: if that does no harm, say so: `idempotent: true` under `with`"
            }
            _ => "a hedge makes a second call: if that does no harm, say so: `idempotent: true` beside `hedge`",
        };
        problem(&hedge.at, message, hint);
    }
    let After::Delay(after) = hedge.value.0.after else { return };
    if modifiers.longest_attempt().is_some_and(|longest| after >= longest) {
        let message = "this hedge can never start: the time of an attempt is up before".to_owned();
        problem(&hedge.at, message, "let it start earlier, or give attempts more time");
    } else if modifiers.deadline.as_ref().is_some_and(|deadline| after >= deadline.value.0) {
        let message = "this hedge can never start: the deadline comes before".to_owned();
        problem(&hedge.at, message, "let it start earlier, or raise `deadline`");
    }
}

fn times(modifiers: &Modifiers, attempts: u32, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(timeout) = &modifiers.timeout else { return };
    let (at, def) = (&timeout.at, &timeout.value.0);
    let times = &def.attempt;
    if times.len() > 1 && times.len() > attempts as usize {
        let message = format!("{} timeouts, but at most {attempts} attempts", times.len());
        problem(at, message, "each timeout is that of one attempt: raise `retry` or drop some");
    }
    let beyond = |time: &Span| modifiers.deadline.as_ref().is_some_and(|deadline| time.0 > deadline.value.0);
    if times.iter().chain(&def.first).chain(&def.idle).any(beyond) {
        let message = "this timeout can never be reached: the deadline comes first".to_owned();
        problem(at, message, "the deadline covers all attempts and the waiting between them");
    }
}

/// What contradicts itself in a timeout alone.
fn within_attempt(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(Located { value: Short(def), at }) = &modifiers.timeout else { return };
    let longest = modifiers.longest_attempt();
    if def.first.iter().chain(&def.idle).any(|time| longest.is_some_and(|longest| time.0 > longest)) {
        let message = "this can never be reached: the time of the attempt is up before".to_owned();
        problem(at, message, "`first` and `idle` are shorter than `attempt`");
    }
}
