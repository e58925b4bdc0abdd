//! A percentile of recent latencies.

use std::time::Duration;

use crate::observe::histogram::Histogram;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, lock};

/// The number of latencies before a percentile is available, and the fewest between two updates of it.
const WARM_UP: u64 = 20;

/// The number of recent latencies that count: at least this many, at most twice as many. A service that was
/// fast for a month must not count as slow for another month.
const WINDOW: u64 = 2048;

/// A percentile over the last few thousand latencies.
///
/// Reading it is one load. It is updated from a histogram as latencies arrive, at growing intervals.
#[derive(Debug)]
pub(super) struct LatencyWindow {
    percent: f64,
    /// In microseconds; `UNKNOWN` until there are enough latencies.
    cached: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    recent: Histogram,
    before: Histogram,
    /// The number of latencies at which the percentile is next updated.
    next_update: u64,
}

const UNKNOWN: u64 = u64::MAX;

impl LatencyWindow {
    pub(super) fn new(percent: f64) -> Self {
        let times = Times { next_update: WARM_UP, ..Times::default() };
        LatencyWindow { percent, cached: AtomicU64::new(UNKNOWN), times: Mutex::new(times) }
    }

    /// Returns the percentile, if there are enough latencies.
    pub(super) fn get(&self) -> Option<Duration> {
        match self.cached.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(super) fn record(&self, time: Duration) {
        let mut times = lock(&self.times);
        times.recent.record(time);
        let count = times.recent.count();
        if count < times.next_update {
            return;
        }
        times.next_update = count + WARM_UP.max(count / 16);
        let mut all = times.before.clone();
        all.merge(&times.recent);
        let micros = u64::try_from(all.percentile(self.percent).as_micros()).unwrap_or(UNKNOWN);
        self.cached.store(micros, Ordering::Relaxed);
        if count >= WINDOW {
            times.before = std::mem::take(&mut times.recent);
            times.next_update = WARM_UP;
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn old_latencies_do_not_count() {
        let latencies = LatencyWindow::new(95.0);
        let ms = Duration::from_millis;
        (0..WARM_UP - 1).for_each(|_| latencies.record(ms(100)));
        assert_eq!(latencies.get(), None);
        (0..100_000).for_each(|_| latencies.record(ms(100)));
        assert_eq!(latencies.get(), Some(ms(100)));
        (0..3 * WINDOW).for_each(|_| latencies.record(ms(900)));
        assert_eq!(latencies.get(), Some(ms(900)));
    }

    #[test]
    fn returns_the_percentile() {
        let latencies = LatencyWindow::new(95.0);
        for _ in 0..5 {
            (1..=1000).for_each(|micros| latencies.record(Duration::from_micros(micros)));
        }
        let micros = latencies.get().unwrap().as_micros();
        assert!((930..=960).contains(&micros), "{micros}");
    }
}
