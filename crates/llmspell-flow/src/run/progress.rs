//! How far a run is, for whoever watches it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use llmspell::{Event, Fact, Sink};

/// Counters that the run keeps and anybody may read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) bytes_done: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    retrying: AtomicUsize,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How much of the input is done with.
    pub bytes_done: u64,
    /// Records with an output.
    pub ok: u64,
    /// Records without.
    pub failed: u64,
    /// Of all these, records whose outcome an earlier session of the run has left.
    pub replayed: u64,
    /// Records on their way through the flow.
    pub in_flight: usize,
    /// How many of them are at a second or later attempt, or wait for it.
    pub retrying: usize,
}

impl Snapshot {
    /// Records that are done, one way or the other.
    pub fn done(&self) -> u64 {
        self.ok + self.failed
    }
}

impl Progress {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            ok: self.ok.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            retrying: self.retrying.load(Ordering::Relaxed),
        }
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

/// Watches the events of a run for calls that retry.
pub(crate) struct RetryWatch {
    progress: Arc<Progress>,
    retrying: Mutex<HashSet<u64>>,
}

impl RetryWatch {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        RetryWatch { progress, retrying: Mutex::default() }
    }
}

impl Sink for RetryWatch {
    fn record(&self, event: &Event) {
        let begins = matches!(event.fact, Fact::Retrying { .. });
        let ends = matches!(event.fact, Fact::Finished { .. } | Fact::Failed { .. } | Fact::Cancelled { .. });
        // Most calls end without ever having retried.
        let may_end = ends && self.progress.retrying.load(Ordering::Relaxed) > 0;
        if !begins && !may_end {
            return;
        }
        let mut retrying = self.retrying.lock().unwrap_or_else(PoisonError::into_inner);
        if begins {
            retrying.insert(event.call);
        } else {
            retrying.remove(&event.call);
        }
        self.progress.retrying.store(retrying.len(), Ordering::Relaxed);
    }
}
