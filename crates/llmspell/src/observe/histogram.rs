//! Percentiles of durations in little memory.

use std::time::Duration;

/// Each power of two is divided into this many buckets, so a percentile is off by at most 0.4 %.
const STEPS: u64 = 128;

/// A histogram of durations in microseconds: exact below 128 µs, logarithmic with linear steps above.
///
/// The layout is that of HdrHistogram (Gil Tene, 2012). Memory depends on the range of the durations, not on their
/// number: about 3.5 KiB for each power of ten.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(micros);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.min = if self.count == 0 { micros } else { self.min.min(micros) };
        self.max = self.max.max(micros);
        self.count += 1;
    }

    /// Adds everything that `other` has recorded.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the duration that `percent` of the recorded ones do not exceed, by nearest rank; zero if there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return Duration::from_micros(middle_of(bucket).clamp(self.min, self.max));
            }
        }
        Duration::ZERO
    }
}

fn bucket_of(micros: u64) -> usize {
    // How often the value must be halved to fall below 2 × STEPS.
    let halvings = (u64::BITS - (micros / (2 * STEPS)).leading_zeros()) as u64;
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
    fn the_middle_of_a_bucket_is_near_every_value_in_it() {
        let large = (1..52).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]);
        for micros in (0..5000).chain(large) {
            let middle = middle_of(bucket_of(micros));
            assert!(middle.abs_diff(micros) as f64 <= micros as f64 * 0.004, "{micros} became {middle}");
        }
    }

    #[test]
    fn buckets_follow_one_another_without_gaps() {
        for micros in 0..100_000 {
            let step = bucket_of(micros + 1) - bucket_of(micros);
            assert!(step <= 1, "gap of {step} after {micros}");
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), Duration::ZERO);
        (1..=100).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        assert_eq!(histogram.percentile(50.0), Duration::from_micros(50));
        assert_eq!(histogram.percentile(99.0), Duration::from_micros(99));
        assert_eq!(histogram.percentile(100.0), Duration::from_micros(100));
        assert_eq!(histogram.percentile(0.1), Duration::from_micros(1));
    }

    #[test]
    fn merged_histograms_equal_one_histogram() {
        let (mut odd, mut even, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for micros in 1..=1000u64 {
            let time = Duration::from_micros(micros * micros);
            let half = if micros % 2 == 0 { &mut even } else { &mut odd };
            half.record(time);
            both.record(time);
        }
        odd.merge(&even);
        odd.merge(&Histogram::default());
        assert_eq!(odd.count(), 1000);
        assert!([0.1, 50.0, 99.0, 100.0].iter().all(|percent| odd.percentile(*percent) == both.percentile(*percent)));
    }

    #[test]
    fn a_single_duration_is_exact() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(1_234_567));
        assert_eq!(histogram.percentile(50.0), Duration::from_micros(1_234_567));
    }
}
