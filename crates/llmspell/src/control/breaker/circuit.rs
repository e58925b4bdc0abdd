//! The state machine of a breaker. It is plain data, without a lock, a clock or a step.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::{BreakerSettings, JITTER_DIVISOR};
use super::window::Window;
use crate::error::Error;
use crate::runtime::timing::after;

/// The state of one breaker.
pub(super) struct Circuit {
    settings: BreakerSettings,
    state: CircuitState,
    /// Grows with each change of state: a call that was admitted before a change has no effect after it.
    generation: u64,
    window: Window,
    /// Failures since the last success.
    consecutive: u64,
    /// Probes that run, whichever half-open state admitted them.
    probing: u32,
    /// Probes that have failed since the breaker was last closed.
    failed_probes: u32,
}

enum CircuitState {
    Closed,
    /// `until` is `None` if the breaker stays open until it is reset.
    Open {
        until: Option<Instant>,
        reason: TripReason,
    },
    HalfOpen {
        successes: u32,
        reason: TripReason,
    },
}

/// A state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open,
    HalfOpen,
}

/// Why a breaker opened.
#[derive(Clone, Debug)]
pub(super) struct TripReason {
    pub(super) cause: TripCause,
    pub(super) failures: u64,
    pub(super) calls: u64,
    pub(super) last: Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TripCause {
    /// Too many calls failed within this time.
    FailureRate(Duration),
    /// Too many calls in a row failed.
    Consecutive,
    /// A probe failed.
    Probe,
}

/// The permission for one call. It must be [settled](Circuit::settle) exactly once.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallPermit {
    generation: u64,
    probe: bool,
}

impl CallPermit {
    /// Returns the permission of a call that was admitted while the breaker was closed.
    pub(super) fn closed(generation: u64) -> Self {
        CallPermit { generation, probe: false }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The outcome of a call, as far as it concerns the other side.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallVerdict<'a> {
    Success,
    Failure(&'a Error),
    /// The other side was not called, or had no time to answer.
    Neither,
}

/// A change of state, to be reported.
#[derive(Debug)]
pub(super) enum CircuitChange {
    /// Opened for this time; `None` means until it is reset.
    Opened(TripReason, Option<Duration>),
    HalfOpened,
    Closed,
}

/// Why a call was rejected.
#[derive(Debug)]
pub(super) struct BreakerRejection {
    pub(super) reason: TripReason,
    pub(super) phase: Phase,
    /// The time until a call may be admitted; `None` if waiting alone does not help.
    pub(super) wait: Option<Duration>,
}

impl Circuit {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let window = Window::new(settings.window);
        Circuit {
            settings,
            state: CircuitState::Closed,
            generation: 0,
            window,
            consecutive: 0,
            probing: 0,
            failed_probes: 0,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            CircuitState::Closed => Phase::Closed,
            CircuitState::Open { .. } => Phase::Open,
            CircuitState::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Admits or rejects a call. The first call after the open time makes the breaker half-open.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(CallPermit, Option<CircuitChange>), BreakerRejection> {
        let mut change = None;
        if let CircuitState::Open { until: Some(until), reason } = &self.state
            && *until <= now
        {
            let reason = reason.clone();
            self.enter(CircuitState::HalfOpen { successes: 0, reason });
            change = Some(CircuitChange::HalfOpened);
        }
        if let Some(rejection) = self.rejection(now) {
            // Half-open, but as many probes as allowed still run, admitted before the breaker opened again.
            return Err(rejection);
        }
        let probe = matches!(self.state, CircuitState::HalfOpen { .. });
        self.probing += u32::from(probe);
        Ok((CallPermit { generation: self.generation, probe }, change))
    }

    /// Returns the rejection of a call that came now; `None` if it would be admitted.
    pub(super) fn rejection(&self, now: Instant) -> Option<BreakerRejection> {
        match &self.state {
            CircuitState::Closed => None,
            CircuitState::Open { until: Some(until), .. } if *until <= now => None,
            CircuitState::Open { until, reason } => {
                let wait = until.map(|until| until.saturating_duration_since(now));
                Some(BreakerRejection { reason: reason.clone(), phase: Phase::Open, wait })
            }
            CircuitState::HalfOpen { .. } if self.probing < self.settings.probes => None,
            CircuitState::HalfOpen { .. } => self.recheck(now),
        }
    }

    /// Returns the rejection of a call that was admitted before, has not started, and is not a probe: it would have no
    /// effect any more.
    pub(super) fn recheck(&self, now: Instant) -> Option<BreakerRejection> {
        match &self.state {
            CircuitState::Closed => None,
            CircuitState::Open { .. } => self.rejection(now),
            CircuitState::HalfOpen { reason, .. } => {
                // About as long as it would be open if the probe failed. Calls that came back for the probe must not
                // come back together again.
                let open = self.settings.open_time(self.failed_probes);
                let wait = open
                    .map(|open| if self.settings.jitter { open / 2 + self.settings.jitter_up_to(open) } else { open });
                Some(BreakerRejection { reason: reason.clone(), phase: Phase::HalfOpen, wait })
            }
        }
    }

    /// Ends a call that was admitted.
    pub(super) fn settle(
        &mut self,
        permit: CallPermit,
        verdict: CallVerdict<'_>,
        now: Instant,
    ) -> Option<CircuitChange> {
        self.probing -= u32::from(permit.probe);
        if permit.generation != self.generation {
            return None;
        }
        match (&mut self.state, verdict) {
            // No call is admitted while the breaker is open, so no permit is of such a generation.
            (_, CallVerdict::Neither) | (CircuitState::Open { .. }, _) => None,
            (CircuitState::Closed, CallVerdict::Success) => {
                self.window.succeeded(now);
                self.consecutive = 0;
                None
            }
            (CircuitState::Closed, CallVerdict::Failure(error)) => {
                self.window.failed(now, not_before(error, now));
                self.consecutive += 1;
                self.trip_if_failing(error, now)
            }
            (CircuitState::HalfOpen { successes, .. }, CallVerdict::Success) => {
                *successes += 1;
                if *successes < self.settings.probes {
                    return None;
                }
                self.close();
                Some(CircuitChange::Closed)
            }
            (CircuitState::HalfOpen { successes, .. }, CallVerdict::Failure(error)) => {
                let reason = TripReason {
                    cause: TripCause::Probe,
                    failures: 1,
                    calls: u64::from(*successes) + 1,
                    last: error.clone(),
                };
                self.failed_probes = self.failed_probes.saturating_add(1);
                Some(self.open(reason, not_before(error, now), now))
            }
        }
    }

    /// Counts the outcome of a call that was not admitted by this breaker.
    pub(super) fn record_outcome(&mut self, verdict: CallVerdict<'_>, now: Instant) -> Option<CircuitChange> {
        match self.state {
            CircuitState::Closed => self.settle(CallPermit::closed(self.generation), verdict, now),
            // If only streams use the breaker, their items are the only probes.
            _ => {
                let (permit, change) = self.admit(now).ok()?;
                self.settle(permit, verdict, now).or(change)
            }
        }
    }

    /// Closes the breaker and forgets everything. Returns the change if it was not closed before.
    pub(super) fn reset(&mut self) -> Option<CircuitChange> {
        let was_closed = matches!(self.state, CircuitState::Closed);
        self.close();
        (!was_closed).then_some(CircuitChange::Closed)
    }

    /// Opens the breaker if enough calls have failed.
    fn trip_if_failing(&mut self, error: &Error, now: Instant) -> Option<CircuitChange> {
        let (calls, failures) = self.window.sums();
        // The product of a share such as 0.55 may exceed the intended whole number by a rounding error.
        let is_rate_reached =
            calls >= self.settings.min_calls && failures as f64 + 1e-9 >= self.settings.failure_rate * calls as f64;
        let reason = if is_rate_reached {
            TripReason { cause: TripCause::FailureRate(self.settings.window), failures, calls, last: error.clone() }
        } else if self.settings.consecutive_failures.is_some_and(|max| self.consecutive >= max) {
            TripReason {
                cause: TripCause::Consecutive,
                failures: self.consecutive,
                calls: self.consecutive,
                last: error.clone(),
            }
        } else {
            return None;
        };
        Some(self.open(reason, self.window.not_before(), now))
    }

    fn open(&mut self, reason: TripReason, not_before: Option<Instant>, now: Instant) -> CircuitChange {
        let wait = self.settings.open_time(self.failed_probes).map(|open| {
            let asked = not_before.map_or(Duration::ZERO, |not_before| not_before.saturating_duration_since(now));
            // Jitter may lengthen the time that the server has asked for, but never shortens it.
            open.max(asked).saturating_add(self.settings.jitter_up_to(open / JITTER_DIVISOR))
        });
        self.enter(CircuitState::Open { until: wait.map(|wait| after(now, wait)), reason: reason.clone() });
        CircuitChange::Opened(reason, wait)
    }

    fn close(&mut self) {
        self.window.clear();
        self.consecutive = 0;
        self.failed_probes = 0;
        self.enter(CircuitState::Closed);
    }

    fn enter(&mut self, state: CircuitState) {
        self.state = state;
        self.generation += 1;
    }
}

/// Returns until when the other side asked callers to wait.
fn not_before(error: &Error, now: Instant) -> Option<Instant> {
    error.retry_after().map(|wait| after(now, wait))
}
