//! What can run, but makes no sense.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::duration::written_duration;
use crate::file::DefaultsDef;
use crate::fingerprint::Fingerprint;
use crate::plan::{Planned, StepKind};
use crate::source::Source;

/// More items of one record at once are a mistake.
const MANY_AT_ONCE: usize = 1000;

/// Warns of what nobody can want.
pub(super) fn check(steps: &[Planned], defaults: &DefaultsDef, source: &Source, warnings: &mut Vec<Diagnostic>) {
    let mut warn = |at: &Range<usize>, message: String, hint: String| {
        warnings.push(source.diagnose(Some(at.clone()), message).warning().with_hint(hint));
    };
    for step in steps.iter().flat_map(Planned::all) {
        constants(step, &mut warn);
        parts(step, &mut warn);
        times(step, defaults, &mut warn);
    }
}

pub(super) type Warn<'a> = dyn FnMut(&Range<usize>, String, String) + 'a;

fn constants(step: &Planned, warn: &mut Warn<'_>) {
    match step.when.as_ref().and_then(|when| when.always()) {
        Some(true) => {
            let message = format!("the `when` of `{}` holds for every record", step.id);
            warn(
                &step.at,
                message,
                "leave `when` out, or ask something of the record: `inputs.lang == \"en\"`".to_owned(),
            );
        }
        Some(false) => {
            let message = format!("the step `{}` never runs: its `when` holds for no record", step.id);
            warn(&step.at, message, "leave the step out, or ask something of the record".to_owned());
        }
        None => {}
    }
    if let StepKind::Repeat { until, max, .. } = &step.kind {
        match until.always() {
            Some(true) => {
                let message = format!("`{}` is done after its first round, always", step.id);
                warn(&step.at, message, "let `until` ask something of the steps: `steps.review.ok`".to_owned());
            }
            Some(false) if *max > 1 => {
                let message = format!("`{}` always takes all {max} rounds, and is then marked as partial", step.id);
                warn(&step.at, message, "let `until` ask something of the steps: `steps.review.ok`".to_owned());
            }
            _ => {}
        }
    }
}

fn parts(step: &Planned, warn: &mut Warn<'_>) {
    match &step.kind {
        StepKind::Race { contenders, .. } => {
            for (place, one) in contenders.iter().enumerate() {
                if let Some(same) = contenders[..place].iter().find(|other| other.fingerprint == one.fingerprint) {
                    let message = format!("`{}` does the same as `{}`", one.id, same.id);
                    let hint = "for a second call of a slow step, use `hedge`: it costs only where it is needed";
                    warn(&one.at, message, hint.to_owned());
                }
            }
        }
        StepKind::Concurrent { branches, limit: Some(limit), .. } if *limit > branches.len() => {
            let message = format!("a limit of {limit}, but only {} branches", branches.len());
            warn(&step.at, message, "leave `limit` out, or make it smaller than the number of branches".to_owned());
        }
        StepKind::Items { limit, .. } if *limit > MANY_AT_ONCE => {
            let message = format!("{limit} items of one record at once");
            let hint = "as many again for each record in flight; a limit up to 1000 is plenty".to_owned();
            warn(&step.at, message, hint);
        }
        _ => {}
    }
}

fn times(step: &Planned, defaults: &DefaultsDef, warn: &mut Warn<'_>) {
    let modifiers = &step.modifiers;
    let Some(timeout) = &modifiers.timeout else { return };
    if defaults.timeout.as_ref().is_some_and(|default| default.at == timeout.at) {
        return;
    }
    let times: Vec<Duration> = timeout.value.0.attempt.iter().map(|time| time.0).collect();
    if times.windows(2).any(|pair| pair[1] < pair[0]) {
        let hint = "what was too short for one attempt is too short for the next; let the times grow";
        warn(&timeout.at, "a later attempt has less time than an earlier one".to_owned(), hint.to_owned());
    }
    let attempts = modifiers.attempts();
    let (Some(deadline), Some(last)) = (&modifiers.deadline, times.last()) else { return };
    let all: Duration = (0..attempts as usize).map(|attempt| *times.get(attempt).unwrap_or(last)).sum();
    if attempts > 1 && all > deadline.value.0 {
        let (all, deadline) = (written_duration(all), written_duration(deadline.value.0));
        let message = format!("{attempts} attempts may take {all}, but the deadline comes after {deadline}");
        let hint = "the last attempts are then cut short: give them less time, make fewer, or raise `deadline`";
        warn(&timeout.at, message, hint.to_owned());
    }
}

/// Warns of what stands in for a step in vain.
pub(super) fn rungs(
    id: &Arc<str>,
    kind: &StepKind,
    itself: Fingerprint,
    fallback: &[Planned],
    source: &Source,
    warnings: &mut Vec<Diagnostic>,
) {
    let safe = |kind: &StepKind| matches!(kind, StepKind::Value(value) if value.literal().is_some());
    let mut before = vec![(&**id, safe(kind), itself)];
    for rung in fallback {
        let mut warn = |message: String, hint: &str| {
            warnings.push(source.diagnose(Some(rung.at.clone()), message).warning().with_hint(hint));
        };
        if let Some((sure, ..)) = before.iter().find(|(_, safe, _)| *safe) {
            warn(format!("this never serves: `{sure}` before it is a value, and cannot fail"), "leave it out");
        } else if before.iter().any(|(.., same)| *same == rung.fingerprint) {
            let hint = "to try the same again, use `retry`; let a fallback do something else";
            warn("this does the same as what it stands in for".to_owned(), hint);
        }
        before.push((&rung.id, safe(&rung.kind), rung.fingerprint));
    }
}
