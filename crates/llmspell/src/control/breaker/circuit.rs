//! The states of a breaker and how one leads to another. Plain values: no lock, no clock, no step.

use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;
use crate::error::Error;
use crate::runtime::executor::after;

/// When to open, for how long, and how to try again.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) open_at: f64,
    pub(super) window: Duration,
    pub(super) min_calls: u64,
    pub(super) in_a_row: Option<u64>,
    /// `None`: until it is reset.
    pub(super) open_for: Option<Duration>,
    pub(super) max_open: Duration,
    pub(super) probes: u32,
    pub(super) jitter: bool,
}

/// A breaker may half-open later than said, by up to this part of the time it is open: a quarter.
const LATER: u32 = 4;

/// Longer than this is for ever, and would not fit into an instant.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Rules {
    /// How long to stay open after so many probes have failed in a row.
    fn open_time(&self, failed_probes: u32) -> Option<Duration> {
        let first = self.open_for?;
        Some(first.saturating_mul(1 << failed_probes.min(31)).min(self.max_open.max(first)).min(LONGEST))
    }

    /// Anything from nothing to all of `time`; nothing without jitter.
    fn part_of(&self, time: Duration) -> Duration {
        if self.jitter { time.mul_f64(fastrand::f64()) } else { Duration::ZERO }
    }
}

/// The state machine of one breaker.
pub(super) struct Circuit {
    rules: Rules,
    state: State,
    /// Grows with each change of state: what was admitted before one has no say after it.
    generation: u64,
    window: Window,
    /// Failures since the last success.
    row: u64,
    /// Probes that are alive, whichever half-open state let them in.
    probing: u32,
    /// Probes that have failed since it was last closed.
    failed_probes: u32,
}

enum State {
    Closed,
    /// Without a time: until it is reset.
    Open {
        until: Option<Instant>,
        why: TripReason,
    },
    HalfOpen {
        successes: u32,
        why: TripReason,
    },
}

/// What state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open,
    HalfOpen,
}

/// What opened it.
#[derive(Clone, Debug)]
pub(super) struct TripReason {
    pub(super) cause: Cause,
    pub(super) failures: u64,
    pub(super) calls: u64,
    pub(super) last: Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Too many of the calls within this time.
    Share(Duration),
    /// Too many in a row.
    Row,
    /// A probe.
    Probe,
}

/// The right to make one call. It must be [settled](Circuit::settle), exactly once.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallPermit {
    generation: u64,
    probe: bool,
}

impl CallPermit {
    /// That of a call which was admitted while the breaker was closed.
    pub(super) fn closed(generation: u64) -> Self {
        CallPermit { generation, probe: false }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }
}

/// What a call says about the other side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'a> {
    Success,
    Failure(&'a Error),
    /// It was never asked, or had no time to answer.
    Neither,
}

/// A change of state, for whoever reports it.
#[derive(Debug)]
pub(super) enum Change {
    /// For so long; without a time, until it is reset.
    Opened(TripReason, Option<Duration>),
    HalfOpened,
    Closed,
}

/// Why a call is not made.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: TripReason,
    pub(super) phase: Phase,
    /// When to come back; `None` if waiting alone will not help.
    pub(super) wait: Option<Duration>,
}

impl Circuit {
    pub(super) fn new(rules: Rules) -> Self {
        let window = Window::new(rules.window);
        Circuit { rules, state: State::Closed, generation: 0, window, row: 0, probing: 0, failed_probes: 0 }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Lets a call in, or not. The open time ends with the first call that comes after it.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(CallPermit, Option<Change>), Refusal> {
        let mut change = None;
        if let State::Open { until: Some(until), why } = &self.state
            && *until <= now
        {
            let why = why.clone();
            self.enter(State::HalfOpen { successes: 0, why });
            change = Some(Change::HalfOpened);
        }
        if let Some(refusal) = self.refusal(now) {
            // Half-open with all places taken, by probes that were let in before it opened again.
            return Err(refusal);
        }
        let probe = matches!(self.state, State::HalfOpen { .. });
        self.probing += u32::from(probe);
        Ok((CallPermit { generation: self.generation, probe }, change))
    }

    /// What a call that comes now is told; `None` if it would be let in.
    pub(super) fn refusal(&self, now: Instant) -> Option<Refusal> {
        match &self.state {
            State::Closed => None,
            State::Open { until: Some(until), .. } if *until <= now => None,
            State::Open { until, why } => {
                let wait = until.map(|until| until.saturating_duration_since(now));
                Some(Refusal { why: why.clone(), phase: Phase::Open, wait })
            }
            State::HalfOpen { .. } if self.probing < self.rules.probes => None,
            State::HalfOpen { .. } => self.recall(now),
        }
    }

    /// What a call that was let in before, and has not begun, is told: it has no say any more, and is no probe.
    pub(super) fn recall(&self, now: Instant) -> Option<Refusal> {
        match &self.state {
            State::Closed => None,
            State::Open { .. } => self.refusal(now),
            State::HalfOpen { why, .. } => {
                // As long as it would be open if the probe failed, more or less: those who came back for the probe
                // must not come back together once more.
                let open = self.rules.open_time(self.failed_probes);
                let wait = open.map(|open| if self.rules.jitter { open / 2 + self.rules.part_of(open) } else { open });
                Some(Refusal { why: why.clone(), phase: Phase::HalfOpen, wait })
            }
        }
    }

    /// Ends a call that was let in.
    pub(super) fn settle(&mut self, ticket: CallPermit, verdict: Verdict<'_>, now: Instant) -> Option<Change> {
        self.probing -= u32::from(ticket.probe);
        if ticket.generation != self.generation {
            return None;
        }
        match (&mut self.state, verdict) {
            // Nothing is let in while it is open, so no ticket is of such a generation.
            (_, Verdict::Neither) | (State::Open { .. }, _) => None,
            (State::Closed, Verdict::Success) => {
                self.window.succeeded(now);
                self.row = 0;
                None
            }
            (State::Closed, Verdict::Failure(error)) => {
                self.window.failed(now, quiet(error, now));
                self.row += 1;
                self.judge(error, now)
            }
            (State::HalfOpen { successes, .. }, Verdict::Success) => {
                *successes += 1;
                if *successes < self.rules.probes {
                    return None;
                }
                self.close();
                Some(Change::Closed)
            }
            (State::HalfOpen { successes, .. }, Verdict::Failure(error)) => {
                let why = TripReason {
                    cause: Cause::Probe,
                    failures: 1,
                    calls: u64::from(*successes) + 1,
                    last: error.clone(),
                };
                self.failed_probes = self.failed_probes.saturating_add(1);
                Some(self.open(why, quiet(error, now), now))
            }
        }
    }

    /// Counts what has become of something that nobody asked this breaker about. Only a closed one listens.
    pub(super) fn hear(&mut self, verdict: Verdict<'_>, now: Instant) -> Option<Change> {
        match self.state {
            State::Closed => self.settle(CallPermit::closed(self.generation), verdict, now),
            // A stream that nobody else asks the breaker for has no other probes than its items.
            _ => {
                let (ticket, change) = self.admit(now).ok()?;
                self.settle(ticket, verdict, now).or(change)
            }
        }
    }

    /// Closes it and forgets everything; says whether it was not closed before.
    pub(super) fn reset(&mut self) -> Option<Change> {
        let was_closed = matches!(self.state, State::Closed);
        self.close();
        (!was_closed).then_some(Change::Closed)
    }

    /// Opens if enough has failed.
    fn judge(&mut self, error: &Error, now: Instant) -> Option<Change> {
        let (calls, failures) = self.window.sums();
        // A product of a share such as 0.55 may exceed the whole number that is meant by a rounding error.
        let many = calls >= self.rules.min_calls && failures as f64 + 1e-9 >= self.rules.open_at * calls as f64;
        let why = if many {
            TripReason { cause: Cause::Share(self.rules.window), failures, calls, last: error.clone() }
        } else if self.rules.in_a_row.is_some_and(|most| self.row >= most) {
            TripReason { cause: Cause::Row, failures: self.row, calls: self.row, last: error.clone() }
        } else {
            return None;
        };
        Some(self.open(why, self.window.quiet(), now))
    }

    fn open(&mut self, why: TripReason, quiet: Option<Instant>, now: Instant) -> Change {
        let wait = self.rules.open_time(self.failed_probes).map(|open| {
            let asked = quiet.map_or(Duration::ZERO, |quiet| quiet.saturating_duration_since(now));
            // Later, never earlier than the server has asked for.
            open.max(asked).saturating_add(self.rules.part_of(open / LATER))
        });
        self.enter(State::Open { until: wait.map(|wait| after(now, wait)), why: why.clone() });
        Change::Opened(why, wait)
    }

    fn close(&mut self) {
        self.window.clear();
        self.row = 0;
        self.failed_probes = 0;
        self.enter(State::Closed);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

/// Until when the other side wants to be left alone.
fn quiet(error: &Error, now: Instant) -> Option<Instant> {
    error.retry_after().map(|wait| after(now, wait))
}
