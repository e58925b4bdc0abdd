//! The state machine shared between threads: behind one lock, with its state readable without the lock.

use tokio::time::Instant;

use super::circuit::{BreakerRejection, CallPermit, CallVerdict, Circuit, CircuitChange, Phase};
use super::settings::BreakerSettings;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// A circuit behind a lock that is held for a few instructions at a time.
pub(super) struct SharedCircuit {
    circuit: Mutex<Circuit>,
    /// The generation and the phase of the circuit, written under the lock. While the circuit is closed, calls are
    /// admitted without the lock. A call that reads this just before the circuit opens is like one that came just
    /// before.
    summary: AtomicU64,
}

impl SharedCircuit {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let circuit = Circuit::new(settings);
        let summary = AtomicU64::new(summarize(&circuit));
        SharedCircuit { circuit: Mutex::new(circuit), summary }
    }

    pub(super) fn phase(&self) -> Phase {
        phase(self.summary.load(Ordering::Acquire))
    }

    /// Admits a call without the lock, if the circuit is closed.
    #[inline]
    pub(super) fn admit_if_closed(&self) -> Option<CallPermit> {
        let seen = self.summary.load(Ordering::Acquire);
        (phase(seen) == Phase::Closed).then(|| CallPermit::closed(seen >> 2))
    }

    /// Admits or rejects a call.
    pub(super) fn admit(
        &self,
        now: impl FnOnce() -> Instant,
    ) -> Result<(CallPermit, Option<CircuitChange>), BreakerRejection> {
        let now = now();
        self.with(|circuit| circuit.admit(now))
    }

    /// Returns the rejection of a call that was admitted and then waited, if the circuit has opened meanwhile. A probe
    /// is never rejected.
    pub(super) fn recheck(
        &self,
        is_probe: impl FnOnce() -> bool,
        now: impl FnOnce() -> Instant,
    ) -> Option<BreakerRejection> {
        match self.phase() {
            Phase::Closed => return None,
            Phase::HalfOpen if is_probe() => return None,
            Phase::HalfOpen | Phase::Open => {}
        }
        let now = now();
        self.with(|circuit| circuit.recheck(now))
    }

    /// Returns the rejection of a call that came now.
    pub(super) fn rejection(&self, now: impl FnOnce() -> Instant) -> Option<BreakerRejection> {
        if self.phase() == Phase::Closed {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.rejection(now))
    }

    pub(super) fn settle(
        &self,
        permit: CallPermit,
        verdict: CallVerdict<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Option<CircuitChange> {
        if matches!(verdict, CallVerdict::Neither) && !permit.is_probe() {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.settle(permit, verdict, now))
    }

    pub(super) fn record_outcome(
        &self,
        verdict: CallVerdict<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Option<CircuitChange> {
        if matches!(verdict, CallVerdict::Neither) {
            return None;
        }
        let now = now();
        self.with(|circuit| circuit.record_outcome(verdict, now))
    }

    pub(super) fn reset(&self) -> Option<CircuitChange> {
        self.with(Circuit::reset)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit: MutexGuard<'_, Circuit> = lock(&self.circuit);
        let result = change(&mut circuit);
        self.summary.store(summarize(&circuit), Ordering::Release);
        result
    }
}

fn summarize(circuit: &Circuit) -> u64 {
    let phase = match circuit.phase() {
        Phase::Closed => 0,
        Phase::Open => 1,
        Phase::HalfOpen => 2,
    };
    circuit.generation() << 2 | phase
}

fn phase(summary: u64) -> Phase {
    match summary & 3 {
        0 => Phase::Closed,
        1 => Phase::Open,
        _ => Phase::HalfOpen,
    }
}

#[cfg(all(test, shuttle))]
mod schedules;
