//! How far a run is, for whoever watches it.

mod pace;
mod snapshot;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmspell::internal::SharedFold;
use llmspell::{Event, EventSink};
use tokio::time::Instant;

use pace::{Mark, Pace};
pub use snapshot::{InStep, Snapshot, StepNow, Total, Waiting};

/// What the run keeps count of, and anybody may read at any time.
#[derive(Debug)]
pub struct Progress {
    pub(crate) bytes_done: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) degraded: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Of those that are done: delivered from an earlier session instead of run.
    pub(crate) replayed: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    /// Microseconds in which an outcome was there and the output took none.
    output_wait: AtomicU64,
    /// Whether records are still taken; a run that stops has no time left to foretell.
    pub(crate) stopping: AtomicBool,
    /// Whether no records are taken for now.
    pub(crate) paused: AtomicBool,
    total: Mutex<Option<Total>>,
    pace: Mutex<Pace>,
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
            pace: Mutex::new(Pace::new(Instant::now())),
            steps: SharedFold::default(),
        }
    }
}

impl Progress {
    /// Everything as it is now. What the steps do is in it only if the run [is told to follow
    /// them](crate::Run::follow_steps).
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
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = Mark { at: Instant::now(), done: now.done(), replayed: now.replayed, amount: now.amount_done() };
        now.elapsed = pace.note(mark);
        now.rate = pace.rate();
        now.eta = if now.stopping || now.paused { None } else { now.amount_left().and_then(|left| pace.eta(left)) };
        now
    }

    /// Says how much there is to do, if it is known.
    pub(crate) fn expect(&self, total: Option<Total>) {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) = total;
    }

    /// An outcome was there, and for so long the output took none.
    pub(crate) fn waited_for_output(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.output_wait.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a record as in flight until the returned value is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

pub(crate) struct InFlight(Arc<Progress>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Follows the events of a run for what its steps do.
pub(crate) struct Follow(pub(crate) Arc<Progress>);

impl EventSink for Follow {
    fn record(&self, event: &Event) {
        self.0.steps.record(event);
    }
}
