//! Percentiles of durations, near enough to be looked at, in a kilobyte.

use std::time::Duration;

/// Each power of two is divided into this many buckets, so that a percentile is off by at most 7 %.
const STEPS: u64 = 8;

/// A histogram of durations in microseconds, laid out as HdrHistogram (Gil Tene, 2012) does. The report has a finer one.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    buckets: Vec<u32>,
    count: u64,
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        let bucket = bucket_of(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.count += 1;
    }

    pub(super) fn absorb(&mut self, other: &Times) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine = mine.saturating_add(*theirs));
        self.count += other.count;
    }

    /// By nearest rank; `None` if nothing was recorded.
    pub(super) fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(Duration::from_micros(middle_of(bucket)));
            }
        }
        None
    }
}

fn bucket_of(micros: u64) -> usize {
    // How often the value must be halved to fall below 2 × STEPS.
    let halvings = u64::from(u64::BITS - (micros / (2 * STEPS)).leading_zeros());
    (halvings * STEPS + (micros >> halvings)) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let halvings = (bucket / STEPS).saturating_sub(1);
    let low = (bucket - halvings * STEPS) << halvings;
    low + ((1 << halvings) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_near_the_truth() {
        for micros in (0..5000).chain((12..50).map(|bit| (1 << bit) + (1 << bit) / 3)) {
            let middle = middle_of(bucket_of(micros));
            assert!(middle.abs_diff(micros) as f64 <= micros as f64 * 0.07, "{micros} became {middle}");
        }
        let mut times = Times::default();
        assert_eq!(times.percentile(50.0), None);
        (1..=1000).for_each(|ms| times.record(Duration::from_millis(ms)));
        let p95 = times.percentile(95.0).unwrap_or_default().as_secs_f64();
        assert!((0.88..1.02).contains(&p95), "{p95}");
        let mut twice = times.clone();
        twice.absorb(&times);
        assert_eq!(twice.percentile(95.0), times.percentile(95.0));
    }
}
