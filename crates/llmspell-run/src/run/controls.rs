//! The commands that a run executes while it runs: pause, drain, and changes of limits and rates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::Rate;
use llmspell::pattern::stream::LimitHandle;
use llmspell_flow::internal::{Quota, Tunable};
use tokio::sync::watch;

use super::remaining::PauseGate;
use super::run_end::{Stop, wait_for_stop};

/// The largest value that a limit can be set to.
const MAX_LIMIT: usize = 1_000_000;

/// Everything that can be changed while a run runs.
pub(super) struct Controls {
    steps: Vec<TunableStep>,
    in_flight: InFlightLimit,
    /// The rate of the run, if it has one.
    rate: Option<Rate>,
    gate: Arc<PauseGate>,
    stop: watch::Sender<Stop>,
}

struct TunableStep {
    path: Arc<str>,
    tunable: Tunable,
    /// The limit at the beginning.
    initial_limit: usize,
}

/// The maximum number of records in flight.
pub(super) struct InFlightLimit {
    handle: LimitHandle,
    /// The maximum at the beginning.
    initial: usize,
    /// Whether the maximum follows the limits of the steps. A number set by the user stays.
    follows_steps: AtomicBool,
}

impl InFlightLimit {
    /// `configured` is the maximum that the user set, if any.
    pub(super) fn new(handle: LimitHandle, configured: Option<usize>) -> Self {
        InFlightLimit { initial: handle.items(), handle, follows_steps: AtomicBool::new(configured.is_none()) }
    }

    fn set(&self, records: usize) -> String {
        let before = self.handle.items();
        self.follows_steps.store(false, Ordering::Relaxed);
        self.handle.resize(records);
        format!("limit = {records} records in flight, was {before}")
    }
}

impl Controls {
    pub(super) fn new(
        tunables: Vec<(Arc<str>, Tunable)>,
        in_flight: InFlightLimit,
        rate: Option<Rate>,
        gate: Arc<PauseGate>,
        stop: watch::Sender<Stop>,
    ) -> Self {
        let step = |(path, tunable): (_, Tunable)| {
            let initial_limit = tunable.limit.as_ref().and_then(llmspell::Limit::max_permits).unwrap_or(0);
            TunableStep { path, tunable, initial_limit }
        };
        Controls { steps: tunables.into_iter().map(step).collect(), in_flight, rate, gate, stop }
    }

    /// Reads no more records, and finishes those in flight.
    pub(super) fn drain(&self) {
        self.stop.send_modify(|now| *now = Stop::Drain.max(*now));
    }

    /// Waits until the run drains or aborts.
    pub(super) async fn until_draining(&self) {
        wait_for_stop(&mut self.stop.subscribe(), Stop::Drain).await;
    }

    /// Executes a command; returns the answer.
    pub(super) fn execute(&self, command: &str) -> String {
        match command.trim() {
            "pause" if *self.stop.borrow() >= Stop::Drain => "error: the run is already stopping".to_owned(),
            "pause" => {
                self.gate.set_paused(true);
                "paused: no more records are read; `llmspell runs continue` resumes".to_owned()
            }
            "continue" => {
                self.gate.set_paused(false);
                "continued".to_owned()
            }
            "drain" => {
                self.drain();
                "stopping: records in flight will be finished".to_owned()
            }
            other => self.set(other).unwrap_or_else(|problem| format!("error: {problem}")),
        }
    }

    /// Executes a command such as `limit.STEP=N`.
    fn set(&self, command: &str) -> Result<String, String> {
        let unknown = || {
            format!(
                "unknown command `{command}`; the commands are: pause, continue, drain, limit=N, limit.STEP=N, rate=N/TIME, \
                 rate.STEP=N/TIME"
            )
        };
        let (what, value) = command.split_once('=').ok_or_else(unknown)?;
        let (what, value) = (what.trim(), value.trim());
        let (what, step) = what.split_once('.').map_or((what, None), |(what, step)| (what, Some(step)));
        match (what, step) {
            ("limit", None) => Ok(self.in_flight.set(parse_limit(value)?)),
            ("limit", Some(step)) => self.limit(step, parse_limit(value)?),
            ("rate", None) => {
                let rate = self.rate.as_ref().ok_or("the run has no rate; resume it with `--rate 10/s`")?;
                set_rate("rate", rate, value)
            }
            ("rate", Some(step)) => {
                let rate = self.find(step, "rate", |tunable| tunable.rate.as_ref())?;
                set_rate(&format!("rate.{step}"), rate, value)
            }
            _ => Err(unknown()),
        }
    }

    fn limit(&self, step: &str, calls: usize) -> Result<String, String> {
        let limit = self.find(step, "limit", |tunable| tunable.limit.as_ref())?;
        let before = limit.max_permits().unwrap_or(calls);
        limit.resize(calls);
        let message = format!("limit.{step} = {calls}, was {before}");
        let (in_flight, wanted) = (self.in_flight.handle.items(), self.wanted());
        if self.in_flight.follows_steps.load(Ordering::Relaxed) && in_flight != wanted {
            self.in_flight.handle.resize(wanted);
            return Ok(format!("{message}; at most {wanted} records in flight, was {in_flight}"));
        }
        if calls > in_flight {
            return Ok(format!("{message}; only {in_flight} records can be in flight: set limit={calls} for more"));
        }
        Ok(message)
    }

    /// Returns the number of records in flight that keeps the steps busy: the initial number, and the increases of their
    /// limits since.
    fn wanted(&self) -> usize {
        let increase = |step: &TunableStep| {
            let most = step.tunable.limit.as_ref().and_then(llmspell::Limit::max_permits)?;
            Some(most.saturating_sub(step.initial_limit))
        };
        let increases: usize = self.steps.iter().filter_map(increase).sum();
        (self.in_flight.initial + increases).min(MAX_LIMIT)
    }

    /// Returns the limit or rate of a step.
    fn find<'a, T>(
        &'a self,
        step: &str,
        what: &str,
        of: impl Fn(&'a Tunable) -> Option<&'a T>,
    ) -> Result<&'a T, String> {
        let mut known = self.steps.iter().filter_map(|known| Some((&*known.path, of(&known.tunable)?)));
        let found = known.clone().find(|(path, _)| *path == step).map(|(_, found)| found);
        found.ok_or_else(|| {
            let names: Vec<&str> = known.by_ref().map(|(path, _)| path).collect();
            let names = if names.is_empty() { "no step has one".to_owned() } else { names.join(", ") };
            format!("no step `{step}` with a {what}; steps with a {what}: {names}")
        })
    }
}

fn parse_limit(text: &str) -> Result<usize, String> {
    let calls = text.parse().ok().filter(|calls| (1..=MAX_LIMIT).contains(calls));
    calls.ok_or_else(|| format!("invalid limit `{text}`; give a number from 1 to {MAX_LIMIT}"))
}

fn set_rate(name: &str, rate: &Rate, text: &str) -> Result<String, String> {
    let to: Quota = text.parse()?;
    match rate.calls() {
        Some(before) if rate.set_rate(to.count, to.period) => Ok(format!("{name} = {to}, was {}", Quota::from(before))),
        _ => Err(format!("`{name}` limits only tokens, and cannot be changed during a run")),
    }
}
