//! A bucket that fills at a steady rate: how much may go, and when there will be enough.

use std::time::Duration;

use tokio::time::Instant;

use super::RateWindow;
use crate::runtime::executor::after;

/// A token bucket, which is the "continuous-state leaky bucket" form of the generic cell rate algorithm
/// (ITU-T I.371; ATM Forum, Traffic Management 4.0, 1996, section 4.4.2).
///
/// It counts in whole parts, so nothing is ever rounded in favour of the caller: a unit has as many parts as
/// the period has nanoseconds, and in each nanosecond as many parts flow in as units in the period.
#[derive(Debug)]
pub(super) struct Bucket {
    inflow: i128,
    unit: i128,
    capacity: i128,
    /// Below zero if more was used than there was.
    level: i128,
    /// When the level was `level`. In the future while nothing may go.
    at: Instant,
}

impl Bucket {
    /// A full bucket for `units` in each `period`, that holds what flows in during `burst`, and at least one.
    pub(super) fn new(units: u64, period: Duration, burst: Duration) -> Self {
        let (inflow, unit) = (i128::from(units), nanos(period));
        let capacity = inflow.saturating_mul(nanos(burst)).max(unit);
        Bucket { inflow, unit, capacity, level: capacity, at: Instant::now() }
    }

    /// How many units it gives in what time.
    pub(super) fn flow(&self) -> (u64, Duration) {
        let nanos = u64::try_from(self.unit).unwrap_or(u64::MAX);
        (u64::try_from(self.inflow).unwrap_or(u64::MAX), Duration::from_nanos(nanos))
    }

    /// What is there, or owed, at another rate.
    pub(super) fn retuned(&self, mut to: Bucket) -> Bucket {
        to.level = self.level.saturating_mul(to.unit).div_euclid(self.unit).min(to.capacity);
        to.at = self.at;
        to
    }

    fn parts(&self, units: u64) -> i128 {
        i128::from(units).saturating_mul(self.unit)
    }

    /// Lets flow in what has come up to `now`.
    pub(super) fn fill(&mut self, now: Instant) {
        if now > self.at {
            let inflow = self.inflow.saturating_mul(nanos(now - self.at));
            self.level = self.level.saturating_add(inflow).min(self.capacity);
            self.at = now;
        }
    }

    /// When `units` may go, if `ahead` go before: at the latest time it was filled at, or later. What is more
    /// than the bucket holds goes once it is full, and leaves a debt.
    pub(super) fn due(&self, units: u64, ahead: u64) -> Instant {
        let wanted = self.parts(units).min(self.capacity).saturating_add(self.parts(ahead));
        let missing = wanted.saturating_sub(self.level);
        if missing <= 0 {
            return self.at;
        }
        let wait = missing.saturating_add(self.inflow - 1) / self.inflow;
        after(self.at, Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    pub(super) fn take(&mut self, units: u64) {
        self.level = self.level.saturating_sub(self.parts(units));
    }

    pub(super) fn give(&mut self, units: u64) {
        self.level = self.level.saturating_add(self.parts(units)).min(self.capacity);
    }

    /// The same, but to no more than there is or `most`, whichever is more.
    pub(super) fn give_up_to(&mut self, units: u64, most: u64) {
        let level = self.level.saturating_add(self.parts(units)).min(self.parts(most)).min(self.capacity);
        self.level = self.level.max(level);
    }

    /// The time up to which it is filled: in the future if nothing may go before.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Lets nothing go until `until`, and then no more than `units` at once: the rest at the rate.
    pub(super) fn pause(&mut self, until: Instant, units: u64) {
        self.fill(until);
        self.level = self.level.min(self.parts(units));
    }

    /// Takes over what the server has left, if it is less. If that is not enough for `units`, nothing goes
    /// before it is, at the rate at which the server's own bucket fills.
    /// Heard again while that lasts, it adds nothing.
    pub(super) fn tighten(&mut self, now: Instant, window: &RateWindow, units: u64) {
        if self.at <= now {
            self.level = self.level.min(self.parts(window.remaining));
        }
        let wanted = units.min(window.limit);
        if window.remaining < wanted {
            let share = (wanted - window.remaining) as f64 / (window.limit - window.remaining) as f64;
            self.pause(after(now, window.reset.min(LONGEST).mul_f64(share)), units);
        }
    }
}

/// No server means to be left alone for longer.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ten in a second, three at once.
    fn bucket() -> (Bucket, Instant) {
        let bucket = Bucket::new(10, Duration::from_secs(1), 300 * MS);
        let start = bucket.at;
        (bucket, start)
    }

    #[test]
    fn what_it_holds_goes_at_once_and_the_rest_at_the_rate() {
        let (mut bucket, start) = bucket();
        let times: Vec<Duration> = (0..6)
            .map(|_| {
                let due = bucket.due(1, 0);
                bucket.fill(due);
                bucket.take(1);
                due - start
            })
            .collect();
        assert_eq!(times, [0, 0, 0, 100, 200, 300].map(|ms| ms * MS));
        assert_eq!(bucket.due(1, 4) - start, 800 * MS, "behind four others");
    }

    #[test]
    fn it_holds_no_more_than_the_burst_and_at_least_one() {
        let (mut bucket, start) = bucket();
        bucket.fill(start + Duration::from_secs(3600));
        bucket.take(3);
        assert!(bucket.due(1, 0) > bucket.at);
        let mut strict = Bucket::new(10, Duration::from_secs(1), Duration::ZERO);
        assert_eq!(strict.due(1, 0), strict.at);
        strict.take(1);
        assert_eq!(strict.due(1, 0), strict.at + 100 * MS);
    }

    #[test]
    fn more_than_it_holds_leaves_a_debt() {
        let (mut bucket, start) = bucket();
        assert_eq!(bucket.due(10, 0), start, "it is full");
        bucket.take(10);
        assert_eq!(bucket.due(1, 0) - start, 800 * MS, "seven owed, and one wanted");
        bucket.give(7);
        assert_eq!(bucket.due(1, 0) - start, 100 * MS);
    }

    #[test]
    fn a_rate_that_does_not_divide_evenly_is_never_exceeded() {
        let mut bucket = Bucket::new(7, Duration::from_secs(1), Duration::ZERO);
        let start = bucket.at;
        for _ in 0..700 {
            bucket.fill(bucket.due(1, 0));
            bucket.take(1);
        }
        let took = bucket.at - start;
        // The first goes at once, so 699 turns had to come.
        let exact = Duration::from_nanos(699 * 1_000_000_000 / 7);
        assert!(took >= exact && took < exact + MS, "{took:?}");
    }

    #[test]
    fn another_rate_finds_what_is_there_or_owed() {
        let (mut bucket, start) = bucket();
        let faster = || Bucket::new(1000, Duration::from_secs(10), 5_000 * MS);
        assert_eq!(bucket.retuned(faster()).due(1, 2), start, "three are there");
        assert_eq!(bucket.retuned(faster()).due(1, 3) - start, 10 * MS);
        bucket.take(10);
        assert_eq!(bucket.retuned(faster()).due(1, 0) - start, 80 * MS, "seven owed, and one wanted");
        bucket.pause(start + 5_000 * MS, 1);
        assert_eq!(bucket.retuned(faster()).due(1, 0), bucket.due(1, 0).min(bucket.at + 80 * MS), "a pause stays");
        let mut slow = Bucket::new(1, Duration::from_secs(60), Duration::ZERO);
        let start = slow.at;
        slow.take(1);
        slow.fill(start + 45_000 * MS);
        let twice = slow.retuned(Bucket::new(2, Duration::from_secs(60), Duration::ZERO));
        assert_eq!(
            twice.due(1, 0) - start,
            52_500 * MS,
            "three quarters had come, and the last one comes in half the time"
        );
    }

    #[test]
    fn a_pause_ends_in_single_file() {
        let (mut bucket, start) = bucket();
        bucket.pause(start + 5_000 * MS, 1);
        assert_eq!(bucket.due(1, 0) - start, 5_000 * MS);
        assert_eq!(bucket.due(1, 1) - start, 5_100 * MS);
        bucket.pause(start + 100 * MS, 1);
        assert_eq!(bucket.due(1, 0) - start, 5_000 * MS, "a shorter one changes nothing");
    }

    #[test]
    fn what_the_server_has_left_only_tightens() {
        let window = |limit, remaining, ms| RateWindow { limit, remaining, reset: ms * MS };
        let (mut bucket, start) = bucket();
        bucket.tighten(start, &window(100, 50, 0), 1);
        assert_eq!(bucket.due(1, 2), start, "three as before");
        bucket.tighten(start, &window(100, 1, 99_000), 1);
        assert_eq!((bucket.due(1, 0), bucket.due(1, 1)), (start, start + 100 * MS));
        // Nothing left, and the server's bucket of 60 fills in a minute: one a second.
        bucket.tighten(start, &window(60, 0, 60_000), 1);
        assert_eq!(bucket.due(1, 0) - start, 1_000 * MS);
        // Ten calls that were under way hear the same.
        for _ in 0..10 {
            bucket.tighten(start, &window(60, 0, 60_000), 1);
        }
        assert_eq!(bucket.due(1, 0) - start, 1_000 * MS);
    }
}
