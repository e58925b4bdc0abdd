//! The state machine as calls on many threads share it: one lock, and a state that is seen at a glance.

use tokio::time::Instant;

use super::circuit::{CallPermit, Change, Circuit, Phase, Refusal, Rules, Verdict};
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// A circuit behind a lock that is held for a few instructions at a time.
pub(super) struct SharedCircuit {
    circuit: Mutex<Circuit>,
    /// The generation and the phase of the circuit, written under the lock. While it is closed, calls are let in
    /// without the lock; one that sees this an instant before it opens is as one that came an instant earlier.
    glance: AtomicU64,
}

impl SharedCircuit {
    pub(super) fn new(rules: Rules) -> Self {
        let circuit = Circuit::new(rules);
        let glance = AtomicU64::new(glance(&circuit));
        SharedCircuit { circuit: Mutex::new(circuit), glance }
    }

    pub(super) fn phase(&self) -> Phase {
        phase(self.glance.load(Ordering::Acquire))
    }

    /// Lets a call in without further ado, while it is closed.
    #[inline]
    pub(super) fn pass(&self) -> Option<CallPermit> {
        let seen = self.glance.load(Ordering::Acquire);
        (phase(seen) == Phase::Closed).then(|| CallPermit::closed(seen >> 2))
    }

    /// Lets a call in, or not.
    pub(super) fn admit(&self, now: impl FnOnce() -> Instant) -> Result<(CallPermit, Option<Change>), Refusal> {
        let now = now();
        self.with(|circuit| circuit.admit(now))
    }

    /// What a call that stood in line meanwhile is told, if it is not to be made any more. A probe is.
    pub(super) fn recall(&self, is_probe: impl FnOnce() -> bool, now: impl FnOnce() -> Instant) -> Option<Refusal> {
        match self.phase() {
            Phase::Closed => return None,
            Phase::HalfOpen if is_probe() => return None,
            Phase::HalfOpen | Phase::Open => {}
        }
        let now = now();
        self.with(|circuit| circuit.recall(now))
    }

    /// What stands in the way of all calls now.
    pub(super) fn refusal(&self, now: impl FnOnce() -> Instant) -> Option<Refusal> {
        if self.phase() == Phase::Closed {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.refusal(now))
    }

    pub(super) fn settle(
        &self,
        ticket: CallPermit,
        verdict: Verdict<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Change> {
        if matches!(verdict, Verdict::Neither) && !ticket.is_probe() {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.settle(ticket, verdict, now))
    }

    pub(super) fn hear(&self, verdict: Verdict<'_>, now: impl FnOnce() -> Instant) -> Option<Change> {
        if matches!(verdict, Verdict::Neither) {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.hear(verdict, now))
    }

    pub(super) fn reset(&self) -> Option<Change> {
        self.with(Circuit::reset)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit: MutexGuard<'_, Circuit> = lock(&self.circuit);
        let result = change(&mut circuit);
        self.glance.store(glance(&circuit), Ordering::Release);
        result
    }
}

fn glance(circuit: &Circuit) -> u64 {
    let phase = match circuit.phase() {
        Phase::Closed => 0,
        Phase::Open => 1,
        Phase::HalfOpen => 2,
    };
    circuit.generation() << 2 | phase
}

fn phase(glance: u64) -> Phase {
    match glance & 3 {
        0 => Phase::Closed,
        1 => Phase::Open,
        _ => Phase::HalfOpen,
    }
}

#[cfg(all(test, shuttle))]
mod schedules;
