//! What steps count about themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts for one kind of work; clones share them.
#[derive(Clone, Default)]
pub struct Probe(Arc<Counts>);

#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    finished: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

impl Probe {
    /// Work begins; it is alive until the returned value is dropped.
    pub fn enter(&self) -> Alive {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let alive = self.0.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(alive, Ordering::SeqCst);
        Alive(self.0.clone())
    }

    /// How often work began.
    pub fn started(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }

    /// How often it came to its end.
    pub fn finished(&self) -> usize {
        self.0.finished.load(Ordering::SeqCst)
    }

    /// How much of it there is now.
    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// The most there was at once.
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }
}

/// Work that has begun. Dropped without [`Alive::finish`], it has stopped short of its end.
#[must_use = "work is alive as long as this"]
pub struct Alive(Arc<Counts>);

impl Alive {
    /// The work has come to its end.
    pub fn finish(self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
