//! Reads from the fold of events what goes on in each step.

use std::time::Duration;

use llmspell::internal::{CallState, FoldSnapshot, LiveCall, StepTotals};
use llmspell::observe::WaitKind;

use super::snapshot::{InStep, Snapshot, StepNow, Waiting};

/// At most this many records are listed one by one.
const MAX_OLDEST: usize = 8;

/// The flow itself, the first step that is ever called. The snapshot reports it as a whole, not as a step.
const FLOW: usize = 0;

/// Adds the state of the steps to `snapshot`.
pub(super) fn add_steps(snapshot: &mut Snapshot, fold: &FoldSnapshot) {
    snapshot.refused = fold.totals.refused;
    snapshot.overloaded = fold.totals.overloaded;
    snapshot.hedges = fold.totals.hedged;
    snapshot.usage = fold.totals.usage;
    snapshot.runaways = fold.totals.runaways_alive();
    let mut steps: Vec<StepNow> = fold.steps.iter().map(step_now).collect();
    for (_, call) in &fold.calls {
        steps[call.step].count(call, fold.at);
    }
    snapshot.steps = flow_order(fold).into_iter().map(|step| std::mem::take(&mut steps[step])).collect();
    snapshot.oldest = oldest(fold);
}

fn step_now(totals: &StepTotals) -> StepNow {
    let percentile = |percent| (totals.times.count() > 0).then(|| totals.times.percentile(percent));
    StepNow {
        path: totals.path.as_str().to_owned(),
        limit: totals.limit(),
        done: totals.ok,
        failed: totals.failed,
        cancelled: totals.cancelled,
        retries: totals.retries,
        p50: percentile(50.0),
        p95: percentile(95.0),
        ..StepNow::default()
    }
}

/// Returns the steps other than the flow: each behind those within the one around it, and those in the order of their
/// first calls.
fn flow_order(fold: &FoldSnapshot) -> Vec<usize> {
    let path = |step: usize| &fold.steps[step].path;
    let mut order: Vec<usize> = Vec::with_capacity(fold.steps.len());
    for step in 0..fold.steps.len() {
        let outer = path(step).as_str().rfind('.').map_or("", |dot| &path(step).as_str()[..dot]);
        let outer = llmspell::path::Path::from(outer);
        let last_within = order.iter().rposition(|other| path(*other).is_within(&outer));
        order.insert(last_within.map_or(order.len(), |last| last + 1), step);
    }
    order.retain(|step| *step != FLOW);
    order
}

/// Returns where the records are that started first: in the deepest of their calls, the oldest of these.
fn oldest(fold: &FoldSnapshot) -> Vec<InStep> {
    let mut records: Vec<&(u64, LiveCall)> = fold.calls.iter().filter(|(_, call)| call.step == FLOW).collect();
    let age = |(number, call): &&(u64, LiveCall)| (call.started, *number);
    if records.len() > MAX_OLDEST {
        records.select_nth_unstable_by_key(MAX_OLDEST, age);
        records.truncate(MAX_OLDEST);
    }
    records.sort_unstable_by_key(age);
    let mut deepest = records.clone();
    while let Some(deeper) = one_call_deeper(&fold.calls, &deepest) {
        deepest = deeper;
    }
    let lines = records.iter().zip(deepest).map(|((_, record), (_, call))| InStep {
        record: record.item,
        path: fold.steps[call.step].path.as_str().to_owned(),
        time: fold.at.saturating_sub(call.started),
        attempt: call.attempt,
        waiting: waiting(call, fold.at),
    });
    lines.collect()
}

/// Replaces each call by the one inside of it that started first, which is what holds the record up; `None` if no call
/// has another inside of it.
fn one_call_deeper<'a>(
    calls: &'a [(u64, LiveCall)],
    outer: &[&'a (u64, LiveCall)],
) -> Option<Vec<&'a (u64, LiveCall)>> {
    let mut inner: Vec<Option<&(u64, LiveCall)>> = vec![None; outer.len()];
    for entry in calls {
        let Some(place) = outer.iter().position(|(number, _)| *number == entry.1.parent) else { continue };
        if inner[place].is_none_or(|(_, first)| entry.1.started < first.started) {
            inner[place] = Some(entry);
        }
    }
    let is_deeper = inner.iter().any(Option::is_some);
    is_deeper.then(|| inner.into_iter().zip(outer).map(|(inner, outer)| inner.unwrap_or(outer)).collect())
}

fn waiting(call: &LiveCall, now: Duration) -> Option<Waiting> {
    match call.state(now) {
        CallState::Queued { queue, time } => Some(Waiting::InLine { queue, time }),
        CallState::BackingOff { after } => Some(Waiting::Attempt { after }),
        _ => None,
    }
}

impl StepNow {
    fn count(&mut self, call: &LiveCall, now: Duration) {
        match call.state(now) {
            CallState::Queued { queue: WaitKind::Limit, .. } => self.queued += 1,
            CallState::Queued { .. } => self.paced += 1,
            CallState::BackingOff { after } => {
                self.backing_off += 1;
                self.next_attempt = Some(self.next_attempt.map_or(after, |next| next.min(after)));
            }
            CallState::Retrying => self.retrying += 1,
            _ => self.running += 1,
        }
    }
}
