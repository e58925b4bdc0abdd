//! What a run can be asked to do while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::{LimitHandle, Rate};
use llmspell_flow::internal::{Quota, Tunable};
use tokio::sync::watch;

use super::ending::{Stop, reached};
use super::remaining::Gate;

/// The most that a limit can be set to.
const MOST: usize = 1_000_000;

/// What can be changed while a run runs.
pub(super) struct Controls {
    steps: Vec<TunableStep>,
    in_flight: InFlight,
    /// The rate of the run, if it has one.
    rate: Option<Rate>,
    gate: Arc<Gate>,
    stop: watch::Sender<Stop>,
}

struct TunableStep {
    path: Arc<str>,
    tunable: Tunable,
    /// What its limit was in the beginning.
    limit: usize,
}

/// How many records are in flight at most.
pub(super) struct InFlight {
    handle: LimitHandle,
    /// In the beginning.
    base: usize,
    /// Whether it is as many as keep the steps busy. If somebody has said a number, it stays with that.
    follows: AtomicBool,
}

impl InFlight {
    /// Of a run that was told so many, or `None`.
    pub(super) fn new(handle: LimitHandle, told: Option<usize>) -> Self {
        InFlight { base: handle.items(), handle, follows: AtomicBool::new(told.is_none()) }
    }

    fn set(&self, records: usize) -> String {
        let before = self.handle.items();
        self.follows.store(false, Ordering::Relaxed);
        self.handle.resize(records);
        format!("limit = {records} records in flight, was {before}")
    }
}

impl Controls {
    pub(super) fn new(
        tunables: Vec<(Arc<str>, Tunable)>,
        in_flight: InFlight,
        rate: Option<Rate>,
        gate: Arc<Gate>,
        stop: watch::Sender<Stop>,
    ) -> Self {
        let step = |(path, tunable): (_, Tunable)| {
            let limit = tunable.limit.as_ref().and_then(llmspell::Limit::max_permits).unwrap_or(0);
            TunableStep { path, tunable, limit }
        };
        Controls { steps: tunables.into_iter().map(step).collect(), in_flight, rate, gate, stop }
    }

    /// Takes no more records, and ends with those in flight.
    pub(super) fn drain(&self) {
        self.stop.send_modify(|now| *now = Stop::Drain.max(*now));
    }

    /// Completes once no more records are taken for good.
    pub(super) async fn stopping(&self) {
        reached(&mut self.stop.subscribe(), Stop::Drain).await;
    }

    /// Does what a command says; tells what came of it.
    pub(super) fn obey(&self, command: &str) -> String {
        match command.trim() {
            "pause" if *self.stop.borrow() >= Stop::Drain => "error: the run is stopping already".to_owned(),
            "pause" => {
                self.gate.set_shut(true);
                "paused: no more records are taken; `llmspell runs continue` takes them again".to_owned()
            }
            "continue" => {
                self.gate.set_shut(false);
                "going on".to_owned()
            }
            "drain" => {
                self.drain();
                "stopping: what is in flight will be finished".to_owned()
            }
            other => self.set(other).unwrap_or_else(|problem| format!("error: {problem}")),
        }
    }

    /// Does what `limit.STEP=N` and its like say.
    fn set(&self, command: &str) -> Result<String, String> {
        let unknown = || {
            format!(
                "unknown command `{command}`; there are: pause, continue, drain, limit=N, limit.STEP=N, rate=N/TIME, \
                 rate.STEP=N/TIME"
            )
        };
        let (what, value) = command.split_once('=').ok_or_else(unknown)?;
        let (what, value) = (what.trim(), value.trim());
        let (what, step) = what.split_once('.').map_or((what, None), |(what, step)| (what, Some(step)));
        match (what, step) {
            ("limit", None) => Ok(self.in_flight.set(calls(value)?)),
            ("limit", Some(step)) => self.limit(step, calls(value)?),
            ("rate", None) => {
                let rate = self.rate.as_ref().ok_or("the run has no rate; it can be resumed with `--rate 10/s`")?;
                retuned("rate", rate, value)
            }
            ("rate", Some(step)) => {
                let rate = self.of_step(step, "rate", |tunable| tunable.rate.as_ref())?;
                retuned(&format!("rate.{step}"), rate, value)
            }
            _ => Err(unknown()),
        }
    }

    fn limit(&self, step: &str, calls: usize) -> Result<String, String> {
        let limit = self.of_step(step, "limit", |tunable| tunable.limit.as_ref())?;
        let before = limit.max_permits().unwrap_or(calls);
        limit.resize(calls);
        let told = format!("limit.{step} = {calls}, was {before}");
        let (in_flight, wanted) = (self.in_flight.handle.items(), self.wanted());
        if self.in_flight.follows.load(Ordering::Relaxed) && in_flight != wanted {
            self.in_flight.handle.resize(wanted);
            return Ok(format!("{told}; at most {wanted} records in flight, was {in_flight}"));
        }
        if calls > in_flight {
            return Ok(format!("{told}; but at most {in_flight} records are in flight: set limit={calls} for more"));
        }
        Ok(told)
    }

    /// As many records in flight as keep the steps busy with what their limits are: what it was in the beginning, and
    /// what they were given since.
    fn wanted(&self) -> usize {
        let given = |step: &TunableStep| {
            let most = step.tunable.limit.as_ref().and_then(llmspell::Limit::max_permits)?;
            Some(most.saturating_sub(step.limit))
        };
        let given: usize = self.steps.iter().filter_map(given).sum();
        (self.in_flight.base + given).min(MOST)
    }

    /// What a step has that can be changed.
    fn of_step<'a, T>(
        &'a self,
        step: &str,
        what: &str,
        of: impl Fn(&'a Tunable) -> Option<&'a T>,
    ) -> Result<&'a T, String> {
        let mut known = self.steps.iter().filter_map(|known| Some((&*known.path, of(&known.tunable)?)));
        let found = known.clone().find(|(path, _)| *path == step).map(|(_, found)| found);
        found.ok_or_else(|| {
            let names: Vec<&str> = known.by_ref().map(|(path, _)| path).collect();
            let names = if names.is_empty() { "none has one".to_owned() } else { names.join(", ") };
            format!("no step `{step}` with a {what}; there are: {names}")
        })
    }
}

fn calls(text: &str) -> Result<usize, String> {
    let calls = text.parse().ok().filter(|calls| (1..=MOST).contains(calls));
    calls.ok_or_else(|| format!("`{text}` is no limit; give a number from 1 to {MOST}"))
}

fn retuned(name: &str, rate: &Rate, text: &str) -> Result<String, String> {
    let to: Quota = text.parse()?;
    match rate.calls() {
        Some(before) if rate.set_rate(to.count, to.period) => Ok(format!("{name} = {to}, was {}", Quota::from(before))),
        _ => Err(format!("`{name}` is of tokens alone, and these cannot be changed while it runs")),
    }
}
