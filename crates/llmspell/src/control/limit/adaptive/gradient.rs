//! A limit that learns from latency, before calls are rejected.
//!
//! [`Gradient`] is a pure state machine around [`Aimd`], whose limit it can lower.
//!
//! It compares the *short* time, the mean time to the first output in a window of recent calls, with the *long* time,
//! which is the usual one. If `tolerance × long / short` is below 1, the limit is multiplied by it, but it falls no
//! further than the back-off factor allows, as in Gradient2 of Netflix's concurrency-limits. Otherwise it can grow as
//! [`Aimd`] does. Three things differ, each because of its effect in the simulation (`benches/adaptive`):
//!
//! - The limit does not grow by a constant in each window, because that makes a server reject calls all the time.
//! - The long time follows shorter times fast. An average would take a queue for usual if it was there from the start.
//! - At the minimum limit the long time follows longer times fast, too: no other call competes, so the latency is that
//!   of the server. Otherwise it follows them as slowly as in Gradient2, over 600 windows, because a service may really
//!   become slower.

use std::time::Duration;

use tokio::time::Instant;

use super::aimd::Aimd;
use super::{Bounds, CallStart, Overload};
use crate::observe::event::LimitChange;

/// A window has a quarter of the limit, but at least `MIN_WINDOW` calls: the mean of fewer says little.
const WINDOW_DIVISOR: usize = 4;
const MIN_WINDOW: usize = 8;
/// The number of windows whose mean is the first long time.
const WARM_UP: u32 = 3;
/// The weight of a window in the long time, if it was shorter, longer, or longer at the minimum limit.
const WEIGHT_SHORTER: f64 = 1.0 / 8.0;
const WEIGHT_LONGER: f64 = 2.0 / 601.0;
const WEIGHT_AT_MIN: f64 = 1.0 / 2.0;

/// An [`Aimd`] limit, and the latencies of its calls.
#[derive(Clone, Debug)]
pub(super) struct Gradient {
    aimd: Aimd,
    tolerance: f64,
    /// The usual time, in seconds.
    long: f64,
    windows: u32,
    /// The sum of the times in this window, in seconds.
    sum: f64,
    count: usize,
    /// The epoch in which this window began.
    window_epoch: u64,
}

impl Gradient {
    pub(super) fn new(bounds: Bounds, tolerance: f64) -> Self {
        let aimd = Aimd::new(bounds);
        Gradient { aimd, tolerance, long: 0.0, windows: 0, sum: 0.0, count: 0, window_epoch: 0 }
    }

    pub(super) fn aimd(&self) -> &Aimd {
        &self.aimd
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.aimd.set_max(max);
        self.window_epoch = self.aimd.epoch();
    }

    /// Learns from a successful call that produced its first output after `first`.
    pub(super) fn succeeded(&mut self, now: Instant, call: CallStart, first: Duration) -> Option<LimitChange> {
        let completes_round = self.aimd.record_success(call);
        // Calls from before the last change tell about the former limit.
        if call.epoch >= self.window_epoch {
            self.sum += first.as_secs_f64();
            self.count += 1;
        }
        if self.count < MIN_WINDOW.max(self.aimd.limit() / WINDOW_DIVISOR) {
            return None;
        }
        let short = self.sum / self.count as f64;
        (self.sum, self.count) = (0.0, 0);
        let factor = self.add_window(short);
        let reason = if factor < 1.0 {
            self.aimd.decrease_for_latency(factor)
        } else if completes_round {
            self.aimd.grow(now)
        } else {
            None
        };
        if reason.is_some() {
            self.window_epoch = self.aimd.epoch();
        }
        reason
    }

    pub(super) fn overloaded(&mut self, now: Instant, call: CallStart, overload: Overload) -> Option<LimitChange> {
        self.aimd.overloaded(now, call, overload)
    }

    /// Learns from a window, and returns the factor by which the limit can be multiplied.
    fn add_window(&mut self, short: f64) -> f64 {
        self.windows = self.windows.saturating_add(1);
        let weight = match self.windows {
            windows if windows <= WARM_UP => 1.0 / f64::from(windows),
            _ if short < self.long => WEIGHT_SHORTER,
            _ if self.aimd.is_at_min() => WEIGHT_AT_MIN,
            _ => WEIGHT_LONGER,
        };
        self.long += (short - self.long) * weight;
        // Calls can take no time at all: then there is nothing to compare.
        if short > 0.0 { self.tolerance * self.long / short } else { 1.0 }
    }
}
