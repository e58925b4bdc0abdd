//! A limit that learns from overload: additive increase, multiplicative decrease, and a remembered ceiling.
//!
//! [`Aimd`] is a pure state machine, without permits and without a clock. It takes the starts and ends of calls, and
//! yields the limit.
//!
//! # Increase
//!
//! The limit grows after a *round*: successes of calls that began since its last change, while all of it was in use, as
//! many as an eighth of the limit. (Unused capacity proves nothing: RFC 7661.) Without a known ceiling the limit
//! doubles, as in TCP's slow start. The *ceiling* is the smallest limit that was too large. Below a known ceiling the
//! limit goes half of the way, as BIC does (Xu, Harfoush, Rhee, INFOCOM 2004), and stays below it.
//!
//! The ceiling can rise, and only a *probe* finds out: a limit one call larger, which costs an almost certain rejection
//! while the ceiling has not risen. So probes are paid for from a credit that successes earn: one in
//! [`CALLS_PER_PROBE`] calls, and one in [`ROUNDS_PER_PROBE`] times the limit. That bounds the cost of probing,
//! whatever the capacity and the latency. A probe that completes a round disproves the ceiling: the next step is 2,
//! then 4, 8 …
//!
//! # Decrease
//!
//! Overloads of calls that ran together are one *congestion event*. In such an event the limit falls by the number of
//! rejected calls: each of them was one too many, and none of them is replaced. If the limit was growing, that is all,
//! because the growth explains them. Otherwise the capacity has fallen, and the limit falls by at least a tenth. It
//! falls by the back-off factor at most, and by all of it if the event follows another one without a round between
//! them.
//!
//! A rejected probe also lowers the limit, by a sixteenth, for a round or two. That lets a second client of the same
//! server in: beside a client that always took the whole capacity, every call of the other one would be rejected.
//!
//! A single timeout among [`LONE_TIMEOUT_SUCCESSES`] calls is not congestion: a long-tailed latency has such calls
//! without any overload. A 429 always counts.

use std::time::Duration;

use tokio::time::Instant;

use super::{Bounds, CallStart, Overload};
use crate::observe::event::LimitChange;

/// The longest time for which a `Retry-After` stops growth: a longer one may be a mistake.
const MAX_HOLD: Duration = Duration::from_secs(600);

/// At most one probe in this many calls.
const CALLS_PER_PROBE: f64 = 64.0;
/// At most one probe in this many times the limit.
const ROUNDS_PER_PROBE: f64 = 5.0;
/// The range of the credit for probes: how much they can owe, and how much can be saved.
const PROBE_CREDIT: std::ops::RangeInclusive<f64> = -1.0..=2.0;
/// A round is the limit divided by this.
const ROUND_DIVISOR: usize = 8;
/// When the capacity has fallen, the limit falls by at least itself divided by this.
const MIN_DECREASE_DIVISOR: usize = 10;
/// After a rejected probe, the limit falls by itself divided by this.
const PROBE_DECREASE_DIVISOR: usize = 16;
/// A timeout is alone if this many calls have succeeded since the last one.
const LONE_TIMEOUT_SUCCESSES: usize = 20;

/// The limit, and what its calls have shown so far.
#[derive(Clone, Debug)]
pub(super) struct Aimd {
    bounds: Bounds,
    limit: usize,
    /// Counts the changes of the limit.
    epoch: u64,
    /// Calls of this epoch that succeeded while all of the limit was in use.
    saturated_successes: usize,
    /// The largest limit that has completed a round since it was last too large. A larger limit is still growing.
    proven: usize,
    /// The smallest limit that was too large, until a round disproves it.
    ceiling: Option<usize>,
    /// The largest next increase.
    max_step: usize,
    /// How many rejections probes may cost.
    probe_credit: f64,
    congestion: Option<CongestionEvent>,
    /// Congestion events since the last round.
    congestion_count: u32,
    /// Successes since the last timeout.
    since_timeout: usize,
    /// Until when the other side asked to get no more calls than now.
    hold_until: Option<Instant>,
}

/// Overloads of calls that ran together.
#[derive(Clone, Debug)]
struct CongestionEvent {
    /// The epoch that began with the last decrease. Calls from before it belong to this event.
    epoch: u64,
    from: usize,
    /// Whether the limit was growing.
    was_growing: bool,
    overloads: usize,
    /// The limit falls to this or below, but not below `at_least`.
    at_most: usize,
    at_least: usize,
}

impl Aimd {
    pub(super) fn new(bounds: Bounds) -> Self {
        Aimd {
            limit: bounds.initial,
            epoch: 0,
            saturated_successes: 0,
            proven: 0,
            ceiling: None,
            max_step: bounds.initial,
            probe_credit: 0.0,
            congestion: None,
            congestion_count: 0,
            since_timeout: LONE_TIMEOUT_SUCCESSES,
            hold_until: None,
            bounds,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn max(&self) -> usize {
        self.bounds.max
    }

    /// Changes the upper bound. The limit falls to it, which says nothing about the capacity of the other side.
    pub(super) fn set_max(&mut self, max: usize) {
        self.bounds.max = max;
        self.bounds.min = self.bounds.min.min(max);
        self.lower(max);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_at_min(&self) -> bool {
        self.limit == self.bounds.min
    }

    /// Notes the start of a call; `in_use` calls run, including this one.
    pub(super) fn start_call(&self, in_use: usize) -> CallStart {
        CallStart { epoch: self.epoch, saturated: in_use >= self.limit }
    }

    /// Learns from a successful call.
    pub(super) fn succeeded(&mut self, now: Instant, call: CallStart) -> Option<LimitChange> {
        if self.record_success(call) { self.grow(now) } else { None }
    }

    /// Counts a success, and returns whether it completes a round.
    pub(super) fn record_success(&mut self, call: CallStart) -> bool {
        let earned_credit = 1.0 / CALLS_PER_PROBE.max(ROUNDS_PER_PROBE * self.limit as f64);
        self.probe_credit = (self.probe_credit + earned_credit).min(*PROBE_CREDIT.end());
        self.since_timeout = self.since_timeout.saturating_add(1);
        if call.saturated && call.epoch == self.epoch {
            self.saturated_successes += 1;
        }
        self.saturated_successes >= self.limit.div_ceil(ROUND_DIVISOR)
    }

    /// Grows after a complete round: the limit is good, and a larger one may be better.
    pub(super) fn grow(&mut self, now: Instant) -> Option<LimitChange> {
        self.saturated_successes = 0;
        self.congestion_count = 0;
        self.proven = self.limit;
        if self.ceiling.is_some_and(|ceiling| ceiling <= self.limit) {
            self.ceiling = None;
        }
        if self.limit >= self.bounds.max || self.hold_until.is_some_and(|until| now < until) {
            return None;
        }
        let candidate = self.limit.saturating_add(self.max_step);
        let (to, reason) = match self.ceiling {
            None => (candidate, LimitChange::Growth),
            Some(ceiling) if ceiling > self.limit + 1 => {
                (candidate.min(self.limit.midpoint(ceiling)), LimitChange::Growth)
            }
            Some(_) if self.probe_credit >= 1.0 => {
                self.max_step = 1;
                (self.limit + 1, LimitChange::Probe)
            }
            Some(_) => return None,
        };
        self.set(to.min(self.bounds.max));
        // After the first overload, a step is never more than half of the limit.
        let largest_step = if self.congestion.is_some() { self.limit / 2 } else { self.limit };
        self.max_step = self.max_step.saturating_mul(2).min(largest_step).max(1);
        Some(reason)
    }

    /// Learns from a call that failed because of overload.
    pub(super) fn overloaded(&mut self, now: Instant, call: CallStart, overload: Overload) -> Option<LimitChange> {
        if let Overload::Rejected { retry_after: Some(wait) } = overload {
            self.hold_until = self.hold_until.max(now.checked_add(wait.min(MAX_HOLD)));
        }
        let is_lone =
            overload == Overload::TimedOut && std::mem::take(&mut self.since_timeout) >= LONE_TIMEOUT_SUCCESSES;
        match &mut self.congestion {
            Some(congestion) if call.epoch < congestion.epoch => {
                if congestion.epoch != self.epoch {
                    // It belongs to an earlier event.
                    return None;
                }
                congestion.overloads += 1;
            }
            _ if is_lone => return None,
            _ => self.start_congestion(),
        }
        self.decrease()
    }

    fn start_congestion(&mut self) {
        let from = self.limit;
        self.congestion_count = self.congestion_count.saturating_add(1);
        let was_growing = from > self.proven;
        let at_least = ((from as f64 * self.bounds.back_off) as usize).max(self.bounds.min);
        let at_most = match self.congestion_count {
            1 if from == self.proven + 1 => self.proven - self.proven / PROBE_DECREASE_DIVISOR,
            1 if was_growing => from,
            1 => from - from.div_ceil(MIN_DECREASE_DIVISOR),
            _ => at_least,
        };
        // Calls that start from here on do not belong to this event.
        self.epoch += 1;
        self.saturated_successes = 0;
        self.congestion =
            Some(CongestionEvent { epoch: self.epoch, from, was_growing, overloads: 1, at_least, at_most });
    }

    /// Lowers the limit for one more overload of the event.
    fn decrease(&mut self) -> Option<LimitChange> {
        let congestion = self.congestion.as_ref()?;
        if congestion.was_growing {
            self.probe_credit = (self.probe_credit - 1.0).max(*PROBE_CREDIT.start());
        }
        let bearable = congestion.from.saturating_sub(congestion.overloads);
        let to = bearable.min(congestion.at_most).max(congestion.at_least);
        if self.congestion_count == 1 {
            self.ceiling = Some(bearable.max(to) + 1);
        }
        self.lower(to).then_some(LimitChange::Overload)
    }

    /// Lowers the limit because calls have become slow: to `share` of it, or to where its growth began.
    pub(super) fn decrease_for_latency(&mut self, share: f64) -> Option<LimitChange> {
        let from = self.limit;
        let to = ((from as f64 * share.max(self.bounds.back_off)) as usize).max(self.bounds.min);
        let to = if from > self.proven { to.max(self.proven) } else { to };
        self.saturated_successes = 0;
        if to >= from {
            return None;
        }
        self.ceiling = Some(from);
        // This explains overloads of calls that started before.
        self.congestion =
            Some(CongestionEvent { epoch: 0, from, was_growing: false, overloads: 0, at_least: to, at_most: to });
        self.lower(to).then_some(LimitChange::Slow)
    }

    fn lower(&mut self, to: usize) -> bool {
        let falls = to < self.limit;
        if falls {
            self.proven = self.proven.min(to);
            self.max_step = (to / 2).max(1);
            self.set(to);
            if let Some(congestion) = &mut self.congestion {
                congestion.epoch = self.epoch;
            }
        }
        falls
    }

    fn set(&mut self, limit: usize) {
        self.limit = limit;
        self.saturated_successes = 0;
        self.epoch += 1;
    }
}
