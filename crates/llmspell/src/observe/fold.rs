//! The fold of events: what each step has done so far, and what its calls are doing.
//!
//! Owns the counts of each step and the state of each call in progress. The [report](super::report) and the
//! [live view](super::live) both read it; it must not compute figures that only one of them needs.
//!
//! An event costs O(1). Memory depends on the number of distinct paths and of calls in progress, not on the number of calls.

mod call;
mod step_numbers;
mod totals;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

pub use call::{CallState, LiveCall};
use step_numbers::StepNumbers;
pub use totals::{StepTotals, Totals};

use super::call_hasher::CallHasher;
use super::event::{Event, EventError, EventKind};
use super::outcome::Quality;
use crate::error::ErrorKind;
use crate::path::Path;

/// The state that the events so far add up to. `X` is what its owner keeps for each call in progress.
#[derive(Debug)]
pub(crate) struct Fold<X = ()> {
    numbers: StepNumbers,
    steps: Vec<StepTotals>,
    calls: HashMap<u64, LiveCall<X>, BuildHasherDefault<CallHasher>>,
    totals: Totals,
}

impl<X> Default for Fold<X> {
    fn default() -> Self {
        Fold {
            numbers: StepNumbers::default(),
            steps: Vec::new(),
            calls: HashMap::default(),
            totals: Totals::default(),
        }
    }
}

impl<X: Default> Fold<X> {
    /// Adds an event. Returns the call that the event has ended.
    pub(crate) fn add(&mut self, event: &Event) -> Option<LiveCall<X>> {
        match &event.fact {
            EventKind::Started => {
                self.mark_caller(event.parent, event.at);
                self.start(event);
                None
            }
            EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Cancelled { .. } => self.end(event),
            _ => {
                self.update(event);
                None
            }
        }
    }

    /// Adds a call in progress.
    pub(super) fn start(&mut self, event: &Event) {
        let step = self.number_for(&event.path, event);
        self.steps[step].calls += 1;
        self.calls.insert(event.call, LiveCall::new(event, step));
    }

    /// Notes that `call` has called a step: its wait for another attempt is over. Returns whether the call is in
    /// progress here.
    pub(super) fn mark_caller(&mut self, call: u64, at: Duration) -> bool {
        let Some(caller) = self.calls.get_mut(&call) else { return false };
        caller.has_called = true;
        caller.end_backoff(at, &mut self.steps);
        true
    }

    /// Removes a call that has ended and counts its end. Returns `None` if the call is not in progress here.
    pub(super) fn end(&mut self, event: &Event) -> Option<LiveCall<X>> {
        let mut call = self.calls.remove(&event.call)?;
        call.end_backoff(event.at, &mut self.steps);
        call.end_open_wait(event.at, &mut self.steps);
        let totals = &mut self.steps[call.step];
        match &event.fact {
            EventKind::Finished { took, quality } => {
                totals.ok += 1;
                totals.degraded += u64::from(*quality != Quality::Full);
                totals.times.record(*took);
            }
            EventKind::Failed { took, error } => {
                totals.failed += 1;
                totals.times.record(*took);
                // An attempt, or a step inside of this one, has reported the failure already.
                if error.kind == ErrorKind::Overloaded && !call.reports_attempts && !call.has_called {
                    totals.overloaded += 1;
                    self.totals.overloaded += 1;
                }
            }
            _ => totals.cancelled += 1,
        }
        Some(call)
    }

    /// Adds an event that neither starts nor ends a call.
    pub(super) fn update(&mut self, event: &Event) {
        let at = event.at;
        match &event.fact {
            EventKind::Queued { step, queue } => {
                let step = self.awaited(event, step.as_ref());
                if let (Some(call), Some(step)) = (self.calls.get_mut(&event.call), step) {
                    call.begin_wait(*queue, step, at);
                }
            }
            EventKind::Admitted { step, waited, .. } => {
                if let Some(step) = self.awaited(event, step.as_ref()) {
                    self.steps[step].waited += *waited;
                }
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.end_wait(*waited);
                }
            }
            EventKind::Refused { step, .. } => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.end_open_wait(at, &mut self.steps);
                    call.end_wait(Duration::ZERO);
                }
                if let Some(step) = self.awaited(event, step.as_ref()) {
                    self.steps[step].refused += 1;
                }
                self.totals.refused += 1;
            }
            EventKind::AttemptFailed { error, .. } => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.end_backoff(at, &mut self.steps);
                    call.reports_attempts = true;
                }
                self.attempt_failed(event, error);
            }
            EventKind::Retrying { attempt, delay } => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.begin_backoff(*attempt, *delay, at);
                    self.steps[call.step].retries += 1;
                }
            }
            EventKind::PipelineStage { limit, .. } => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.end_backoff(at, &mut self.steps);
                }
                self.set_limit(event, *limit);
            }
            EventKind::LimitChanged { to, .. } => self.set_limit(event, Some(*to)),
            _ => self.count(event),
        }
    }

    /// Counts an event that changes no call's state beyond whether a second copy runs.
    fn count(&mut self, event: &Event) {
        match &event.fact {
            EventKind::TimedOut { after } => {
                if let Some(step) = self.totals_of(event) {
                    step.timed_out += 1;
                    step.shortest_timeout = Some(step.shortest_timeout.map_or(*after, |least| least.min(*after)));
                }
            }
            EventKind::Hedged { .. } | EventKind::Straggler { .. } => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    call.has_second_copy = true;
                }
                if let Some(step) = self.totals_of(event) {
                    step.hedged += 1;
                }
                self.totals.hedged += 1;
            }
            EventKind::RaceWon { contender, .. } => {
                let call = self.calls.get_mut(&event.call);
                let was_copied = call.is_some_and(|call| std::mem::take(&mut call.has_second_copy));
                if was_copied
                    && *contender == 1
                    && let Some(step) = self.totals_of(event)
                {
                    step.hedges_won += 1;
                }
            }
            EventKind::Runaway => {
                if let Some(step) = self.totals_of(event) {
                    step.runaways += 1;
                }
                self.totals.runaways += 1;
            }
            EventKind::RunawayEnded { .. } => {
                if let Some(step) = self.totals_of(event) {
                    step.runaways_ended += 1;
                }
                self.totals.runaways_ended += 1;
            }
            EventKind::Used(usage) => {
                if let Some(step) = self.totals_of(event) {
                    step.usage += *usage;
                }
                self.totals.usage += *usage;
            }
            _ => {}
        }
    }

    fn attempt_failed(&mut self, event: &Event, error: &EventError) {
        if error.kind == ErrorKind::Overloaded {
            if let Some(step) = self.totals_of(event) {
                step.overloaded += 1;
            }
            self.totals.overloaded += 1;
        }
    }

    fn set_limit(&mut self, event: &Event, limit: Option<usize>) {
        if let Some(call) = self.calls.get(&event.call) {
            self.steps[call.step].limit = (event.at, limit);
        }
    }

    /// The step that a wait or a refusal is about: the step that would start next if the event names one, else that of
    /// the call.
    pub(crate) fn awaited(&mut self, event: &Event, step: Option<&Path>) -> Option<usize> {
        match step {
            Some(path) => Some(self.number_for(path, event)),
            None => self.calls.get(&event.call).map(|call| call.step),
        }
    }

    /// The counts of the step that an event is about, also if its call has ended.
    fn totals_of(&mut self, event: &Event) -> Option<&mut StepTotals> {
        let number = match self.calls.get(&event.call) {
            Some(call) => call.step,
            None => self.numbers.find(&event.path)?,
        };
        self.steps.get_mut(number)
    }

    fn number_for(&mut self, path: &Path, event: &Event) -> usize {
        let number = self.numbers.find_or_add(path);
        if number == self.steps.len() {
            self.steps.push(StepTotals::new(path.clone(), (event.at, event.call)));
        }
        number
    }

    /// Whether an event about `call` at `path` finds the call, or at least its step, here.
    pub(super) fn knows(&mut self, call: u64, path: &Path) -> bool {
        self.calls.contains_key(&call) || self.numbers.find(path).is_some()
    }

    pub(crate) fn is_in_progress(&self, call: u64) -> bool {
        self.calls.contains_key(&call)
    }

    pub(crate) fn call_mut(&mut self, call: u64) -> Option<&mut LiveCall<X>> {
        self.calls.get_mut(&call)
    }

    pub(crate) fn calls(&self) -> impl ExactSizeIterator<Item = (u64, &LiveCall<X>)> {
        self.calls.iter().map(|(number, call)| (*number, call))
    }

    /// The steps by number, in the order in which they were first seen.
    pub(crate) fn steps(&self) -> &[StepTotals] {
        &self.steps
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }
}
