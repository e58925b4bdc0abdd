//! The progress of a run, for live views.

mod rate_estimator;
mod snapshot;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmspell::internal::SharedFold;
use llmspell::observe::{Event, EventSink};
use tokio::time::Instant;

use rate_estimator::{ProgressSample, RateEstimator};
pub use snapshot::{InStep, Snapshot, StepNow, Total, Waiting};

/// The counters of a run, which can be read at any time.
#[derive(Debug)]
pub struct Progress {
    pub(crate) bytes_done: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) degraded: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Of the finished records: replayed from an earlier session.
    pub(crate) replayed: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    /// Microseconds that outcomes waited for the output.
    output_wait: AtomicU64,
    /// Whether the run is ending; a run that is ending has no estimated end.
    pub(crate) stopping: AtomicBool,
    /// Whether the run is paused.
    pub(crate) paused: AtomicBool,
    total: Mutex<Option<Total>>,
    rate_estimator: Mutex<RateEstimator>,
    steps: SharedFold,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            bytes_done: AtomicU64::new(0),
            ok: AtomicU64::new(0),
            degraded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            output_wait: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            total: Mutex::default(),
            rate_estimator: Mutex::new(RateEstimator::new(Instant::now())),
            steps: SharedFold::default(),
        }
    }
}

impl Progress {
    /// Returns the current state. The steps are in it only if the run [follows them](crate::Run::follow_steps).
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut now = Snapshot {
            bytes_done: read(&self.bytes_done),
            ok: read(&self.ok),
            degraded: read(&self.degraded),
            failed: read(&self.failed),
            replayed: read(&self.replayed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            output_wait: Duration::from_micros(read(&self.output_wait)),
            stopping: self.stopping.load(Ordering::Relaxed),
            paused: self.paused.load(Ordering::Relaxed),
            total: *self.total.lock().unwrap_or_else(PoisonError::into_inner),
            ..Snapshot::default()
        };
        steps::add_steps(&mut now, &self.steps.snapshot());
        let mut rate_estimator = self.rate_estimator.lock().unwrap_or_else(PoisonError::into_inner);
        let sample =
            ProgressSample { at: Instant::now(), done: now.done(), replayed: now.replayed, amount: now.amount_done() };
        now.elapsed = rate_estimator.add(sample);
        now.rate = rate_estimator.rate();
        now.eta =
            if now.stopping || now.paused { None } else { now.amount_left().and_then(|left| rate_estimator.eta(left)) };
        now
    }

    /// Sets the total amount of work, if it is known.
    pub(crate) fn expect(&self, total: Option<Total>) {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) = total;
    }

    /// Adds the time that an outcome waited for the output.
    pub(crate) fn waited_for_output(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.output_wait.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a record as in flight until the returned value is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(self.clone())
    }
}

pub(crate) struct InFlightGuard(Arc<Progress>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Records the events of a run in its progress.
pub(crate) struct ProgressSink(pub(crate) Arc<Progress>);

impl EventSink for ProgressSink {
    fn record(&self, event: &Event) {
        self.0.steps.record(event);
    }
}
