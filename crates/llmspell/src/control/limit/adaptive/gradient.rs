//! The limit that slowness teaches, before overloads do.
//!
//! A pure state machine around that of [`Aimd`], which it may tell to brake.
//!
//! It compares the *short* time, the mean time to the first output over a window of the last calls, with the *long*
//! one, which is usual. If `tolerance × long / short` is below 1 the limit falls to that share of itself, but no
//! further than it may at once, as Gradient2 of Netflix's concurrency-limits does; otherwise it may grow as the other
//! one does. Three things differ, each because of what it did in the simulation (`benches/adaptive`):
//!
//! - The limit does not grow by a constant in each window, which makes a server that refuses refuse all the time.
//! - The long time follows shorter ones fast. An average takes a queue for usual if it was there from the beginning.
//! - At the lowest limit it follows longer ones fast, too: there is nobody else in line, so whatever it takes is
//!   what it takes. Otherwise it follows them as slowly as Gradient2's, over 600 windows, for a service may
//!   really become slower.

use std::time::Duration;

use tokio::time::Instant;

use super::aimd::Aimd;
use super::{Begun, Bounds, Overload};
use crate::observe::event::LimitChange;

/// A window is a quarter of the limit, but at least so many calls: the mean of fewer says little.
const WINDOW: usize = 4;
const LEAST: usize = 8;
/// Windows whose mean is the long time to begin with.
const WARM_UP: u32 = 3;
/// The weight of a window in the long time, if it was shorter, longer, or longer at the lowest limit.
const SHORTER: f64 = 1.0 / 8.0;
const LONGER: f64 = 2.0 / 601.0;
const ALONE: f64 = 1.0 / 2.0;

#[derive(Clone, Debug)]
pub(super) struct Gradient {
    search: Aimd,
    tolerance: f64,
    /// The usual time in seconds.
    long: f64,
    windows: u32,
    /// The times of this window, in seconds.
    sum: f64,
    count: usize,
    /// The epoch in which this window began.
    since: u64,
}

impl Gradient {
    pub(super) fn new(bounds: Bounds, tolerance: f64) -> Self {
        let search = Aimd::new(bounds);
        Gradient { search, tolerance, long: 0.0, windows: 0, sum: 0.0, count: 0, since: 0 }
    }

    pub(super) fn search(&self) -> &Aimd {
        &self.search
    }

    pub(super) fn bound(&mut self, most: usize) {
        self.search.bound(most);
        self.since = self.search.epoch();
    }

    /// A call that began in `call` has succeeded, and showed its first output after `first`.
    pub(super) fn succeeded(&mut self, now: Instant, call: Begun, first: Duration) -> Option<LimitChange> {
        let round = self.search.note(call);
        // Calls from before the last change tell of the limit as it was.
        if call.epoch >= self.since {
            self.sum += first.as_secs_f64();
            self.count += 1;
        }
        if self.count < LEAST.max(self.search.limit() / WINDOW) {
            return None;
        }
        let short = self.sum / self.count as f64;
        (self.sum, self.count) = (0.0, 0);
        let share = self.compare(short);
        let reason = if share < 1.0 {
            self.search.brake(share)
        } else if round {
            self.search.grow(now)
        } else {
            None
        };
        if reason.is_some() {
            self.since = self.search.epoch();
        }
        reason
    }

    pub(super) fn overloaded(&mut self, now: Instant, call: Begun, overload: Overload) -> Option<LimitChange> {
        self.search.overloaded(now, call, overload)
    }

    /// Learns from a window; says what share of the limit is bearable.
    fn compare(&mut self, short: f64) -> f64 {
        self.windows = self.windows.saturating_add(1);
        let weight = match self.windows {
            windows if windows <= WARM_UP => 1.0 / f64::from(windows),
            _ if short < self.long => SHORTER,
            _ if self.search.is_lowest() => ALONE,
            _ => LONGER,
        };
        self.long += (short - self.long) * weight;
        // Nothing at all may take no time: then there is nothing to compare.
        if short > 0.0 { self.tolerance * self.long / short } else { 1.0 }
    }
}
