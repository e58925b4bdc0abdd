//! The limit that overloads teach: additive increase, multiplicative decrease, and a memory.
//!
//! A pure state machine: it is told of the beginning and the end of calls, and says the limit.
//!
//! # Up
//!
//! The limit grows after a *round*: an eighth of its number of calls that began since it last changed, while
//! all of it was in use, and succeeded. (What is not in use proves nothing: RFC 7661.) Where nothing is known
//! it doubles, as TCP's slow start does. Where a *ceiling* is known, the smallest limit that was too much, it goes
//! half of the way, as BIC does (Xu, Harfoush, Rhee, INFOCOM 2004), and stays below.
//!
//! The ceiling may rise, and only a *probe* can tell: one call more, for as good as certain a refusal as long as it
//! has not risen. So probes are paid for from a credit that successes earn, one in [`CALLS`] calls and in
//! [`ROUNDS`] times the limit. That bounds what probing costs, whatever the capacity and the latency. A probe
//! that carries a round refutes the ceiling: the next step is 2, then 4, 8 …
//!
//! # Down
//!
//! Overloads of calls that were under way together are one *burst*. In a burst the limit falls by as many as were
//! refused, for each of them was one too many, and none of them is replaced. If a step up was under way that is
//! all, for it explains them; otherwise the capacity has fallen, and the limit falls by a tenth at least. It
//! falls by the back-off factor at most, and by all of it if the burst follows another one without a round between
//! them.
//!
//! A probe that is refused also gives way, by a sixteenth, for a round or two. That is what lets a second client of
//! the same server in: next to one that always took all there is, every call of the other one would be refused.
//!
//! A timeout that is alone in [`ALONE`] calls is no burst: a long-tailed latency has such calls without any
//! overload. A 429 is always believed.

use std::time::Duration;

use tokio::time::Instant;

use super::{Begun, Bounds, Overload};
use crate::observe::event::LimitChange;

/// The longest that a word of the other side stops growth: it may be a mistake.
const LONGEST_QUIET: Duration = Duration::from_secs(600);

/// One probe in so many calls at the most.
const CALLS: f64 = 64.0;
/// One probe in so many times the limit calls at the most.
const ROUNDS: f64 = 5.0;
/// What can be saved up for probes, and what they can owe.
const CREDIT: std::ops::RangeInclusive<f64> = -1.0..=2.0;
/// The part of the limit that makes a round.
const ROUND: usize = 8;
/// The part of the limit by which it falls at least when the capacity has.
const FALL: usize = 10;
/// The part of the limit that is given way to others when a probe was refused.
const WAY: usize = 16;
/// How many successes after another a timeout is alone.
const ALONE: usize = 20;

#[derive(Clone, Debug)]
pub(super) struct Aimd {
    bounds: Bounds,
    limit: usize,
    /// Counts the changes of the limit.
    epoch: u64,
    /// Calls of this epoch that have succeeded while all of the limit was in use.
    clean: usize,
    /// The largest limit that has carried a round since it was last too much; a larger one is a step up under way.
    base: usize,
    /// The smallest limit that was too much, until a round proves that it no longer is.
    ceiling: Option<usize>,
    /// How far the next step up goes at most.
    stride: usize,
    /// How many refusals probes may cost.
    credit: f64,
    burst: Option<Burst>,
    /// Bursts since the last round.
    bursts: u32,
    /// Successes since the last timeout.
    since_timeout: usize,
    /// Until when the other side wants no more than it gets.
    quiet: Option<Instant>,
}

/// Overloads of calls that were under way together.
#[derive(Clone, Debug)]
struct Burst {
    /// The epoch that began with the fall of the limit; calls from before belong to the burst.
    epoch: u64,
    from: usize,
    /// Whether a step up was under way.
    climbing: bool,
    refused: usize,
    /// The limit falls at least to here, and no further than to the floor.
    least: usize,
    floor: usize,
}

impl Aimd {
    pub(super) fn new(bounds: Bounds) -> Self {
        Aimd {
            limit: bounds.initial,
            epoch: 0,
            clean: 0,
            base: 0,
            ceiling: None,
            stride: bounds.initial,
            credit: 0.0,
            burst: None,
            bursts: 0,
            since_timeout: ALONE,
            quiet: None,
            bounds,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn most(&self) -> usize {
        self.bounds.max
    }

    /// Moves the upper bound: falls to it, but takes it for no sign of what the other side can bear.
    pub(super) fn bound(&mut self, most: usize) {
        self.bounds.max = most;
        self.bounds.min = self.bounds.min.min(most);
        self.lower(most);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_lowest(&self) -> bool {
        self.limit == self.bounds.min
    }

    /// A call begins; with it, `in_use` are under way.
    pub(super) fn begin(&self, in_use: usize) -> Begun {
        Begun { epoch: self.epoch, saturated: in_use >= self.limit }
    }

    /// A call has succeeded.
    pub(super) fn succeeded(&mut self, now: Instant, call: Begun) -> Option<LimitChange> {
        if self.note(call) { self.grow(now) } else { None }
    }

    /// Takes note of a success; says whether it completes a round.
    pub(super) fn note(&mut self, call: Begun) -> bool {
        let earned = 1.0 / CALLS.max(ROUNDS * self.limit as f64);
        self.credit = (self.credit + earned).min(*CREDIT.end());
        self.since_timeout = self.since_timeout.saturating_add(1);
        if call.saturated && call.epoch == self.epoch {
            self.clean += 1;
        }
        self.clean >= self.limit.div_ceil(ROUND)
    }

    /// A round is complete: the limit is good, and another one may be better.
    pub(super) fn grow(&mut self, now: Instant) -> Option<LimitChange> {
        self.clean = 0;
        self.bursts = 0;
        self.base = self.limit;
        if self.ceiling.is_some_and(|ceiling| ceiling <= self.limit) {
            self.ceiling = None;
        }
        if self.limit >= self.bounds.max || self.quiet.is_some_and(|until| now < until) {
            return None;
        }
        let furthest = self.limit.saturating_add(self.stride);
        let (to, reason) = match self.ceiling {
            None => (furthest, LimitChange::Growth),
            Some(ceiling) if ceiling > self.limit + 1 => {
                (furthest.min(self.limit.midpoint(ceiling)), LimitChange::Growth)
            }
            Some(_) if self.credit >= 1.0 => {
                self.stride = 1;
                (self.limit + 1, LimitChange::Probe)
            }
            Some(_) => return None,
        };
        self.set(to.min(self.bounds.max));
        // After the first overload, never more than half as much again.
        let boldest = if self.burst.is_some() { self.limit / 2 } else { self.limit };
        self.stride = self.stride.saturating_mul(2).min(boldest).max(1);
        Some(reason)
    }

    /// A call has failed in a way that says "too much".
    pub(super) fn overloaded(&mut self, now: Instant, call: Begun, overload: Overload) -> Option<LimitChange> {
        if let Overload::Refused { quiet: Some(quiet) } = overload {
            self.quiet = self.quiet.max(now.checked_add(quiet.min(LONGEST_QUIET)));
        }
        let lone = overload == Overload::TimedOut && std::mem::take(&mut self.since_timeout) >= ALONE;
        match &mut self.burst {
            Some(burst) if call.epoch < burst.epoch => {
                if burst.epoch != self.epoch {
                    // Of a burst that is over.
                    return None;
                }
                burst.refused += 1;
            }
            _ if lone => return None,
            _ => self.begin_burst(),
        }
        self.fall()
    }

    fn begin_burst(&mut self) {
        let from = self.limit;
        self.bursts = self.bursts.saturating_add(1);
        let climbing = from > self.base;
        let floor = ((from as f64 * self.bounds.back_off) as usize).max(self.bounds.min);
        let least = match self.bursts {
            1 if from == self.base + 1 => self.base - self.base / WAY,
            1 if climbing => from,
            1 => from - from.div_ceil(FALL),
            _ => floor,
        };
        // What came before it is over. Whatever begins from here on does not belong to it.
        self.epoch += 1;
        self.clean = 0;
        self.burst = Some(Burst { epoch: self.epoch, from, climbing, refused: 1, floor, least });
    }

    /// Follows a burst down by one overload more.
    fn fall(&mut self) -> Option<LimitChange> {
        let burst = self.burst.as_ref()?;
        if burst.climbing {
            self.credit = (self.credit - 1.0).max(*CREDIT.start());
        }
        let bearable = burst.from.saturating_sub(burst.refused);
        let to = bearable.min(burst.least).max(burst.floor);
        if self.bursts == 1 {
            self.ceiling = Some(bearable.max(to) + 1);
        }
        self.lower(to).then_some(LimitChange::Overload)
    }

    /// Calls have become slow: goes down to `share` of the limit, or to where a step up began.
    pub(super) fn brake(&mut self, share: f64) -> Option<LimitChange> {
        let from = self.limit;
        let to = ((from as f64 * share.max(self.bounds.back_off)) as usize).max(self.bounds.min);
        let to = if from > self.base { to.max(self.base) } else { to };
        self.clean = 0;
        if to >= from {
            return None;
        }
        self.ceiling = Some(from);
        // Overloads of calls from before are explained.
        self.burst = Some(Burst { epoch: 0, from, climbing: false, refused: 0, floor: to, least: to });
        self.lower(to).then_some(LimitChange::Slow)
    }

    fn lower(&mut self, to: usize) -> bool {
        let falls = to < self.limit;
        if falls {
            self.base = self.base.min(to);
            self.stride = (to / 2).max(1);
            self.set(to);
            if let Some(burst) = &mut self.burst {
                burst.epoch = self.epoch;
            }
        }
        falls
    }

    fn set(&mut self, limit: usize) {
        self.limit = limit;
        self.clean = 0;
        self.epoch += 1;
    }
}
