//! Liveness: first output and heartbeats, for first-output races and idle timeouts.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::runtime::sync::{Mutex, lock};

/// The state of a race that the first output decides.
#[derive(Debug, Default)]
pub(crate) struct FirstOutput {
    state: Mutex<FirstOutputState>,
}

#[derive(Debug, Default)]
struct FirstOutputState {
    winner: Option<usize>,
    /// When the race was decided.
    decided_at: Option<Instant>,
    waker: Option<Waker>,
}

impl FirstOutput {
    /// Claims the race for `contender`; false if another contender has it.
    pub(crate) fn claim(&self, contender: usize) -> bool {
        let mut state = lock(&self.state);
        let winner = *state.winner.get_or_insert(contender);
        state.decided_at.get_or_insert_with(Instant::now);
        let waker = state.waker.take();
        drop(state);
        // The contender may run on another task, so the race must be woken.
        if let Some(waker) = waker {
            waker.wake();
        }
        winner == contender
    }

    /// Returns the contender that has claimed the race; if there is none, `waker` is woken once there is.
    pub(crate) fn winner(&self, waker: &Waker) -> Option<usize> {
        let mut state = lock(&self.state);
        if state.winner.is_none() {
            state.waker = Some(waker.clone());
        }
        state.winner
    }

    /// Returns when the race was decided, if it was.
    pub(crate) fn decided_at(&self) -> Option<Instant> {
        lock(&self.state).decided_at
    }
}

/// One contender of a race that the first output decides.
pub(crate) struct Contender {
    pub(crate) race: Arc<FirstOutput>,
    pub(crate) index: usize,
}

impl Contender {
    /// Returns whether this contender may emit output: it is the first to claim the race, or already has it.
    pub(crate) fn claim(&self) -> bool {
        self.race.claim(self.index)
    }
}

/// The times of the latest signs of life of the work below.
#[derive(Default)]
pub(crate) struct Heartbeat(Mutex<HeartbeatTimes>);

#[derive(Clone, Copy, Default)]
pub(crate) struct HeartbeatTimes {
    /// The first output; other signs of life do not count.
    pub(crate) first: Option<Instant>,
    /// The last sign of life of any kind.
    pub(crate) last: Option<Instant>,
    /// The number of parts of the work that wait for a reader.
    pub(crate) paused: u32,
}

impl Heartbeat {
    pub(crate) fn mark_alive(&self, output: bool) {
        let mut times = lock(&self.0);
        let now = Instant::now();
        if output {
            times.first.get_or_insert(now);
        }
        times.last = Some(now);
    }

    pub(crate) fn pause(&self) {
        lock(&self.0).paused += 1;
    }

    pub(crate) fn resume(&self) {
        let mut times = lock(&self.0);
        times.paused -= 1;
        times.last = Some(Instant::now());
    }

    pub(crate) fn times(&self) -> HeartbeatTimes {
        *lock(&self.0)
    }
}
