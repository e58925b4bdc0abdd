//! How slow is slow: a percentile of what was seen lately.

use std::time::Duration;

use crate::observe::histogram::Histogram;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, lock};

/// Times seen before a percentile means anything, and between two looks at it.
const WARM_UP: u64 = 20;

/// Times that count: the last so many to twice as many. A service that has been fast for a month must not be
/// taken for slow for another.
const REMEMBERED: u64 = 2048;

/// A percentile of the last few thousand times. Reading it is one load; it is worked out anew, which takes a
/// walk through a histogram, as times come in, and less and less often.
pub(super) struct LatencyWindow {
    percent: f64,
    /// In microseconds; `UNKNOWN` until there are enough of them.
    known: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    recent: Histogram,
    before: Histogram,
    /// How many times there are to be when the percentile is next worked out.
    next_look: u64,
}

const UNKNOWN: u64 = u64::MAX;

impl LatencyWindow {
    pub(super) fn new(percent: f64) -> Self {
        let times = Times { next_look: WARM_UP, ..Times::default() };
        LatencyWindow { percent, known: AtomicU64::new(UNKNOWN), times: Mutex::new(times) }
    }

    /// The percentile, if enough has been seen.
    pub(super) fn get(&self) -> Option<Duration> {
        match self.known.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(super) fn record(&self, time: Duration) {
        let mut times = lock(&self.times);
        times.recent.record(time);
        let count = times.recent.count();
        if count < times.next_look {
            return;
        }
        times.next_look = count + WARM_UP.max(count / 16);
        let mut all = times.before.clone();
        all.merge(&times.recent);
        let micros = u64::try_from(all.percentile(self.percent).as_micros()).unwrap_or(UNKNOWN);
        self.known.store(micros, Ordering::Relaxed);
        if count >= REMEMBERED {
            times.before = std::mem::take(&mut times.recent);
            times.next_look = WARM_UP;
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_does_not_count() {
        let learned = LatencyWindow::new(95.0);
        let ms = Duration::from_millis;
        (0..WARM_UP - 1).for_each(|_| learned.record(ms(100)));
        assert_eq!(learned.get(), None);
        (0..100_000).for_each(|_| learned.record(ms(100)));
        assert_eq!(learned.get(), Some(ms(100)));
        (0..3 * REMEMBERED).for_each(|_| learned.record(ms(900)));
        assert_eq!(learned.get(), Some(ms(900)));
    }

    #[test]
    fn it_is_the_percentile() {
        let learned = LatencyWindow::new(95.0);
        for _ in 0..5 {
            (1..=1000).for_each(|micros| learned.record(Duration::from_micros(micros)));
        }
        let micros = learned.get().unwrap().as_micros();
        assert!((930..=960).contains(&micros), "{micros}");
    }
}
