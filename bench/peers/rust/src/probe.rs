//! Counters of running work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counters for one kind of work. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Probe(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    started: AtomicUsize,
    finished: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl Probe {
    /// Counts work as started, and as running until the returned guard is dropped.
    pub fn start(&self) -> Running {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.peak.fetch_max(running, Ordering::SeqCst);
        Running(self.0.clone())
    }

    /// Returns how much work was started.
    pub fn started(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }

    /// Returns how much work was finished.
    pub fn finished(&self) -> usize {
        self.0.finished.load(Ordering::SeqCst)
    }

    /// Returns how much work is running.
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    /// Returns the most work that ran at a time.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }
}

/// A guard for running work. Work whose guard is dropped without [`Running::finish`] was stopped early.
#[derive(Debug)]
#[must_use = "work counts as running as long as this guard lives"]
pub struct Running(Arc<Counts>);

impl Running {
    /// Counts the work as finished.
    pub fn finish(self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
