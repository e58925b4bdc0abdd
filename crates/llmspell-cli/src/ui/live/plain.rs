//! Progress as sentences, which a log keeps.

use llmspell_run::{Snapshot, StepNow};

use crate::ui::text::{count, count_of, duration, per_second, rough_duration};

/// The maximum number of waiting steps that are reported.
const MAX_STEPS: usize = 3;

/// Returns one sentence about the run and one per waiting step, those with the most waiting calls first.
pub(super) fn sentences(name: &str, now: &Snapshot) -> Vec<String> {
    let mut sentences = vec![run_sentence(name, now)];
    let mut waiting: Vec<&StepNow> = now.steps.iter().filter(|step| waiting_calls(step) > 0).collect();
    waiting.sort_by_key(|step| std::cmp::Reverse(waiting_calls(step)));
    sentences.extend(waiting.into_iter().take(MAX_STEPS).map(|step| step_sentence(name, step)));
    sentences
}

fn waiting_calls(step: &StepNow) -> u64 {
    step.queued + step.paced + step.backing_off + step.retrying
}

/// `triage: 1,204 records done, 3 failed, 48 in flight (2 retrying), 612/s, 24 %, 2 min 5 s left`
fn run_sentence(name: &str, now: &Snapshot) -> String {
    let mut text = format!("{name}: {} done", count_of(now.done(), "record"));
    let mut add = |part: String| text = format!("{text}, {part}");
    if now.replayed > 0 {
        add(format!("{} of them replayed", count(now.replayed)));
    }
    if now.failed > 0 {
        add(format!("{} failed", count(now.failed)));
    }
    let retrying = if now.retrying() > 0 { format!(" ({} retrying)", count(now.retrying())) } else { String::new() };
    add(format!("{} in flight{retrying}", count(now.in_flight as u64)));
    add(per_second(now.rate));
    if let Some(share) = now.share() {
        add(format!("{:.0} %", (100.0 * share).floor()));
    }
    if let Some(eta) = now.eta {
        add(format!("{} left", rough_duration(eta)));
    }
    if now.overloaded > 0 {
        add(format!("{} × overloaded", count(now.overloaded)));
    }
    if !now.usage.is_zero() {
        add(format!("{} tokens", count(now.usage.tokens())));
    }
    if !now.usage.cost.is_zero() {
        add(format!("cost {:.4}", now.usage.cost));
    }
    for (holds, word) in [(now.paused, "paused"), (now.stopping, "stopping")] {
        if holds {
            add(word.to_owned());
        }
    }
    text
}

/// `triage.fetch: 8 running, 12 waiting for a limit, 2 waiting for another attempt (the next in 1.2 s)`
fn step_sentence(name: &str, step: &StepNow) -> String {
    let mut parts = vec![format!("{} running", count(step.running))];
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    };
    add(step.retrying, "running again");
    add(step.queued, "waiting for a limit");
    add(step.paced, "waiting for a rate or a budget");
    add(step.backing_off, "waiting for another attempt");
    let next = step.next_attempt.map_or(String::new(), |next| format!(" (the next in {})", duration(next)));
    let path = if step.path.is_empty() { name } else { &step.path };
    format!("{path}: {}{next}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sentences_count_running_and_waiting_calls() {
        let mut now = Snapshot::default();
        (now.ok, now.failed, now.in_flight, now.rate) = (1_201, 3, 48, 612.0);
        (now.total, now.eta) = (Some(llmspell_run::Total::Records(5_000)), Some(Duration::from_secs(125)));
        let mut fetch = StepNow::default();
        (fetch.path, fetch.running, fetch.queued) = ("triage.fetch".to_owned(), 8, 12);
        (fetch.backing_off, fetch.next_attempt) = (2, Some(Duration::from_millis(1_200)));
        let mut store = StepNow::default();
        (store.path, store.running) = ("triage.store".to_owned(), 1);
        now.steps = vec![store, fetch];
        let expected = [
            "triage: 1,204 records done, 3 failed, 48 in flight (2 retrying), 612/s, 24 %, 2 min 5 s left",
            "triage.fetch: 8 running, 12 waiting for a limit, 2 waiting for another attempt (the next in 1.2 s)",
        ];
        assert_eq!(sentences("triage", &now), expected);
    }
}
