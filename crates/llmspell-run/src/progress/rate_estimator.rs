//! The current rate of a run, and its estimated end at that rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time window of the rate, and of the estimated end. The latter is longer because records differ.
const RATE_WINDOW: Duration = Duration::from_secs(5);
const ETA_WINDOW: Duration = Duration::from_secs(30);

/// Snapshots at shorter intervals add no sample.
const MIN_SAMPLE_GAP: Duration = Duration::from_millis(50);

/// There is no estimated end before this much time has passed and this many records have run.
const MIN_ETA_TIME: Duration = Duration::from_secs(2);
const MIN_ETA_RECORDS: u64 = 10;

/// The progress of the run at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgressSample {
    pub(super) at: Instant,
    /// Finished records, including replayed ones.
    pub(super) done: u64,
    pub(super) replayed: u64,
    /// The finished amount, in the unit of the total.
    pub(super) amount: u64,
}

#[derive(Debug)]
pub(super) struct RateEstimator {
    began: Instant,
    samples: VecDeque<ProgressSample>,
}

impl RateEstimator {
    pub(super) fn new(now: Instant) -> Self {
        let start = ProgressSample { at: now, done: 0, replayed: 0, amount: 0 };
        RateEstimator { began: now, samples: VecDeque::from([start]) }
    }

    /// Adds a sample; returns the time since the beginning.
    pub(super) fn add(&mut self, sample: ProgressSample) -> Duration {
        // The last sample is replaced if it is too close to the one before it.
        let len = self.samples.len();
        if len >= 2 && sample.at - self.samples[len - 2].at < MIN_SAMPLE_GAP {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        while self.samples.len() > 2 && sample.at - self.samples[1].at >= ETA_WINDOW {
            self.samples.pop_front();
        }
        sample.at - self.began
    }

    /// Returns the records per second in the last five seconds; replayed records do not count.
    pub(super) fn rate(&self) -> f64 {
        let Some((then, now)) = self.between(RATE_WINDOW) else { return 0.0 };
        let run = now.done.saturating_sub(now.replayed).saturating_sub(then.done.saturating_sub(then.replayed));
        run as f64 / (now.at - then.at).as_secs_f64()
    }

    /// Returns how long `left` will take at the rate of the last half minute. `None` if there is no basis: at the
    /// beginning, while nothing moves, and while outcomes are replayed, which tell nothing about the records to come.
    pub(super) fn eta(&self, left: u64) -> Option<Duration> {
        let (then, now) = self.between(ETA_WINDOW)?;
        let replays = self.between(RATE_WINDOW).is_some_and(|(then, now)| now.replayed > then.replayed);
        if replays || now.at - self.began < MIN_ETA_TIME || now.done.saturating_sub(now.replayed) < MIN_ETA_RECORDS {
            return None;
        }
        // Starts after the last replay.
        let then = self.samples.iter().find(|sample| sample.at >= then.at && sample.replayed == now.replayed)?;
        let (amount, time) = (now.amount.saturating_sub(then.amount), now.at - then.at);
        if amount == 0 || time.is_zero() {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 * time.as_secs_f64() / amount as f64).ok()
    }

    /// Returns the oldest sample within the window, and the last one.
    fn between(&self, window: Duration) -> Option<(&ProgressSample, &ProgressSample)> {
        let now = self.samples.back()?;
        let then = self.samples.iter().find(|sample| now.at - sample.at <= window)?;
        (now.at > then.at).then_some((then, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten snapshots per second of a run; each record has ten bytes.
    fn after(looks: u32, done: impl Fn(u32) -> (u64, u64)) -> RateEstimator {
        let start = Instant::now();
        let mut estimator = RateEstimator::new(start);
        for look in 1..=looks {
            let (run, replayed) = done(look);
            let at = start + look * Duration::from_millis(100);
            estimator.add(ProgressSample { at, done: run + replayed, replayed, amount: 10 * (run + replayed) });
        }
        estimator
    }

    #[test]
    fn a_steady_run_has_an_eta() {
        let estimator = after(100, |look| (u64::from(look) * 5, 0));
        assert!((estimator.rate() - 50.0).abs() < 0.1, "{}", estimator.rate());
        assert_eq!(estimator.eta(5_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        // It stalls after ten seconds.
        let stalled = after(160, |look| (u64::from(look.min(100)), 0));
        assert_eq!(stalled.rate(), 0.0);
        let for_good = after(450, |look| (u64::from(look.min(100)), 0));
        assert_eq!(for_good.eta(5_000), None, "nothing moves: no basis");
    }

    #[test]
    fn there_is_no_eta_at_the_beginning() {
        assert_eq!(after(15, |look| (u64::from(look) * 5, 0)).eta(5_000), None, "too soon");
        assert_eq!(after(100, |look| (u64::from(look) / 20, 0)).eta(5_000), None, "too few records");
        assert_eq!(after(0, |_| (0, 0)).eta(5_000), None);
    }

    #[test]
    fn replayed_records_count_for_neither_rate_nor_eta() {
        let replaying = after(50, |look| (20, u64::from(look) * 1_000));
        assert_eq!(replaying.eta(5_000), None, "replays tell nothing of what is to be run");
        let then_run = after(150, |look| (u64::from(look.saturating_sub(50)) * 5, u64::from(look.min(50)) * 1_000));
        assert!((then_run.rate() - 50.0).abs() < 0.1, "{}", then_run.rate());
        assert_eq!(then_run.eta(5_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn frequent_snapshots_keep_few_samples() {
        let start = Instant::now();
        let mut estimator = RateEstimator::new(start);
        for look in 0..100_000u32 {
            let at = start + look * Duration::from_millis(1);
            estimator.add(ProgressSample { at, done: u64::from(look), replayed: 0, amount: 0 });
        }
        assert!(estimator.samples.len() < 700, "{}", estimator.samples.len());
        assert!((estimator.rate() - 1000.0).abs() < 1.0, "{}", estimator.rate());
    }
}
