//! Checks of modifiers: values that are invalid or contradict each other.

use std::ops::Range;

use crate::ir::step::StepKind;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::duration::DurationDef;
use crate::syntax::file::{AdaptiveDef, After, DefaultsDef, Modifiers, Short, StepDef};
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// The maximum number of attempts.
const MAX_ATTEMPTS: u32 = 100;

/// Checks the modifiers of a step. `step` is its position.
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
            let hint = "count the first attempt as 1, or leave `retry` out";
            problem(&retry.at, "0 attempts: the step would never run".to_owned(), hint);
        } else if attempts > MAX_ATTEMPTS {
            problem(&retry.at, format!("{attempts} attempts are too many"), "write at most 100");
        }
    }
    if def.limit_of_parts() == Some(0) {
        problem(step, "a limit of 0: nothing would ever run".to_owned(), "write at least 1, or leave `limit` out");
    }
    check_shared(modifiers, &mut problem);
    hedging(modifiers, kind, &mut problem);
    let own = def.modifiers();
    if own.timeout.is_some() {
        within_attempt(modifiers, &mut problem);
        times(modifiers, attempts, &mut problem);
    } else {
        // `defaults` are meant for most steps, not for each: a step may override them without a contradiction.
        let retry = modifiers.retry.clone().filter(|_| own.retry.is_none());
        let attempts = retry.as_ref().map_or(MAX_ATTEMPTS, |retry| retry.value.0.max);
        let deadline = modifiers.deadline.clone().filter(|_| own.deadline.is_none());
        let shared = Modifiers { timeout: modifiers.timeout.clone(), retry, deadline, ..Modifiers::default() };
        times(&shared, attempts, &mut problem);
    }
}

/// Checks contradictions within `defaults` that no step can resolve.
pub(crate) fn check_defaults(defaults: &DefaultsDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut modifiers = Modifiers::default();
    modifiers.fill(defaults);
    within_attempt(&modifiers, &mut |at, message, hint| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    });
}

/// Checks the modifiers that steps and models have in common.
pub(crate) fn check_shared(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let zero = |limit: &&Located<u32>| limit.value == 0;
    if let Some(limit) = modifiers.limit.as_ref().filter(zero) {
        let hint = "write at least 1, or leave `limit` out";
        problem(&limit.at, "a limit of 0: no record would ever pass this step".to_owned(), hint);
    }
    if let (Some(limit), Some(adaptive)) = (&modifiers.limit, &modifiers.adaptive)
        && !adaptive.value.0.off
    {
        let hint = "leave `limit` out, and bound the adaptive limit: `adaptive: { max: 64 }`";
        problem(&limit.at, "both `limit` and `adaptive`".to_owned(), hint);
    }
    if let Some(adaptive) = &modifiers.adaptive {
        let AdaptiveDef { min, max, initial, .. } = adaptive.value.0;
        // The defaults of the library.
        let (lower, upper) = (min.unwrap_or(1), max.unwrap_or(256));
        let outside = initial.is_some_and(|initial| initial < lower || initial > upper);
        if [min, max].contains(&Some(0)) || lower > upper || outside {
            let hint = "write 1 <= min <= initial <= max; by default, min is 1 and max is 256";
            problem(&adaptive.at, "these bounds exclude each other".to_owned(), hint);
        }
    }
    if let Some(rate) =
        modifiers.rate.as_ref().filter(|rate| rate.value.0.requests.is_none() && rate.value.0.tokens.is_none())
    {
        problem(&rate.at, "an empty rate".to_owned(), "write `requests: 60/min`, `tokens: 90000/min`, or both");
    }
    if let Some(breaker) = &modifiers.breaker
        && breaker.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0))
    {
        problem(
            &breaker.at,
            "invalid share: expected more than 0 and at most 1".to_owned(),
            "write 0.5 for half of the calls",
        );
    }
}

fn hedging(modifiers: &Modifiers, kind: &StepKind, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(hedge) = &modifiers.hedge else { return };
    if hedge.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        problem(
            &hedge.at,
            "invalid share: expected more than 0 and at most 1".to_owned(),
            "write 0.05 for one call in twenty",
        );
    }
    if let Some(name) = kind.unrepeatable_tool().filter(|_| !modifiers.idempotent) {
        let message = format!("`{name}` must not be called twice for one record");
        let hint = match name {
            "http_request" => "if a second call is harmless, state it: `idempotent: true` under `with`",
            _ => "if a second call is harmless, state it: `idempotent: true` beside `hedge`",
        };
        problem(&hedge.at, message, hint);
    }
    let After::Delay(after) = hedge.value.0.after else { return };
    if modifiers.longest_attempt().is_some_and(|longest| after >= longest) {
        let message = "this hedge can never start: the attempt times out first".to_owned();
        problem(&hedge.at, message, "start it earlier, or raise `timeout`");
    } else if modifiers.deadline.as_ref().is_some_and(|deadline| after >= deadline.value.0) {
        let message = "this hedge can never start: the deadline comes first".to_owned();
        problem(&hedge.at, message, "start it earlier, or raise `deadline`");
    }
}

fn times(modifiers: &Modifiers, attempts: u32, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(timeout) = &modifiers.timeout else { return };
    let (at, def) = (&timeout.at, &timeout.value.0);
    let times = &def.attempt;
    if times.len() > 1 && times.len() > attempts as usize {
        let message = format!("{} timeouts, but at most {attempts} attempts", times.len());
        problem(at, message, "write at most one timeout for each attempt, or raise `retry`");
    }
    let beyond = |time: &DurationDef| modifiers.deadline.as_ref().is_some_and(|deadline| time.0 > deadline.value.0);
    if times.iter().chain(&def.first).chain(&def.idle).any(beyond) {
        let message = "this timeout can never be reached: the deadline comes first".to_owned();
        problem(at, message, "raise `deadline`: it covers all attempts and the delays between them");
    }
}

/// Checks contradictions within one timeout.
fn within_attempt(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(Located { value: Short(def), at }) = &modifiers.timeout else { return };
    let longest = modifiers.longest_attempt();
    if def.first.iter().chain(&def.idle).any(|time| longest.is_some_and(|longest| time.0 > longest)) {
        let message = "this timeout can never be reached: the timeout of the attempt comes first".to_owned();
        problem(at, message, "make `first` and `idle` shorter than `attempt`");
    }
}
