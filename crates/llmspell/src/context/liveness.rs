//! Signs of life: what decides first-output races and idle timeouts.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::runtime::sync::{Mutex, lock};

/// A race that the first output decides.
#[derive(Default)]
pub(crate) struct FirstOutput {
    state: Mutex<FirstOutputState>,
}

#[derive(Default)]
struct FirstOutputState {
    winner: Option<usize>,
    /// When it won.
    decided: Option<Instant>,
    race: Option<Waker>,
}

impl FirstOutput {
    /// Claims the race for `contender`; false if another one has it.
    pub(crate) fn claim(&self, contender: usize) -> bool {
        let mut state = lock(&self.state);
        let winner = *state.winner.get_or_insert(contender);
        state.decided.get_or_insert_with(Instant::now);
        let race = state.race.take();
        drop(state);
        // The contender may run on a task of its own; the race has to hear of it.
        if let Some(race) = race {
            race.wake();
        }
        winner == contender
    }

    /// The contender that has the race; if none has, `race` is woken once one does.
    pub(crate) fn winner(&self, race: &Waker) -> Option<usize> {
        let mut state = lock(&self.state);
        if state.winner.is_none() {
            state.race = Some(race.clone());
        }
        state.winner
    }

    /// When the race was decided, if it has been.
    pub(crate) fn decided(&self) -> Option<Instant> {
        lock(&self.state).decided
    }
}

/// One contender of a race that the first output decides.
pub(crate) struct Contender {
    pub(crate) gate: Arc<FirstOutput>,
    pub(crate) index: usize,
}

impl Contender {
    /// Whether this contender may show output: it is the first to try, or has been.
    pub(crate) fn claim(&self) -> bool {
        self.gate.claim(self.index)
    }
}

/// When the work below last showed that it is alive.
#[derive(Default)]
pub(crate) struct Heartbeat(Mutex<HeartbeatWaiter>);

#[derive(Clone, Copy, Default)]
pub(crate) struct HeartbeatWaiter {
    /// The first output; mere life does not count.
    pub(crate) first: Option<Instant>,
    /// The last sign of any kind.
    pub(crate) last: Option<Instant>,
    /// How many parts of the work wait for a reader.
    pub(crate) paused: u32,
}

impl Heartbeat {
    pub(crate) fn beat(&self, output: bool) {
        let mut beats = lock(&self.0);
        let now = Instant::now();
        if output {
            beats.first.get_or_insert(now);
        }
        beats.last = Some(now);
    }

    pub(crate) fn pause(&self) {
        lock(&self.0).paused += 1;
    }

    pub(crate) fn resume(&self) {
        let mut beats = lock(&self.0);
        beats.paused -= 1;
        beats.last = Some(Instant::now());
    }

    pub(crate) fn beats(&self) -> HeartbeatWaiter {
        *lock(&self.0)
    }
}
