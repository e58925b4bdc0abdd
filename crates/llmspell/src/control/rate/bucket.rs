//! A token bucket: how many units can be taken, and when there will be enough.

use std::time::Duration;

use tokio::time::Instant;

use crate::observe::rate_limits::RateWindow;
use crate::runtime::timing::after;

/// A token bucket, which is the "continuous-state leaky bucket" form of the generic cell rate algorithm
/// (ITU-T I.371; ATM Forum, Traffic Management 4.0, 1996, section 4.4.2).
///
/// It counts in whole parts, so nothing is ever rounded in favour of the caller. A unit has as many parts as the period
/// has nanoseconds. In each nanosecond, as many parts flow in as there are units per period.
#[derive(Debug)]
pub(super) struct Bucket {
    inflow: i128,
    unit: i128,
    capacity: i128,
    /// Negative if more was used than the bucket held.
    level: i128,
    /// The time up to which `level` is right: in the future during a pause.
    filled_until: Instant,
}

impl Bucket {
    /// Creates a full bucket for `units` per `period`. It holds the inflow of `burst`, and at least one unit.
    pub(super) fn new(units: u64, period: Duration, burst: Duration) -> Self {
        let (inflow, unit) = (i128::from(units), nanos(period));
        let capacity = inflow.saturating_mul(nanos(burst)).max(unit);
        Bucket { inflow, unit, capacity, level: capacity, filled_until: Instant::now() }
    }

    /// Returns how many units flow in per period.
    pub(super) fn quota(&self) -> (u64, Duration) {
        let nanos = u64::try_from(self.unit).unwrap_or(u64::MAX);
        (u64::try_from(self.inflow).unwrap_or(u64::MAX), Duration::from_nanos(nanos))
    }

    /// Returns the bucket `to`, with the level of this one in units, or its debt.
    pub(super) fn at_rate_of(&self, mut to: Bucket) -> Bucket {
        to.level = self.level.saturating_mul(to.unit).div_euclid(self.unit).min(to.capacity);
        to.filled_until = self.filled_until;
        to
    }

    fn parts(&self, units: u64) -> i128 {
        i128::from(units).saturating_mul(self.unit)
    }

    /// Adds the inflow up to `now`.
    pub(super) fn fill(&mut self, now: Instant) {
        if now > self.filled_until {
            let inflow = self.inflow.saturating_mul(nanos(now - self.filled_until));
            self.level = self.level.saturating_add(inflow).min(self.capacity);
            self.filled_until = now;
        }
    }

    /// Returns when `units` can be taken after `ahead` others: not before the time up to which the bucket is filled.
    /// More units than the bucket holds can be taken once it is full, and leave a debt.
    pub(super) fn due(&self, units: u64, ahead: u64) -> Instant {
        let needed = self.parts(units).min(self.capacity).saturating_add(self.parts(ahead));
        let lacking = needed.saturating_sub(self.level);
        if lacking <= 0 {
            return self.filled_until;
        }
        let wait = lacking.saturating_add(self.inflow - 1) / self.inflow;
        after(self.filled_until, Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    pub(super) fn take(&mut self, units: u64) {
        self.level = self.level.saturating_sub(self.parts(units));
    }

    pub(super) fn refund(&mut self, units: u64) {
        self.level = self.level.saturating_add(self.parts(units)).min(self.capacity);
    }

    /// Refunds `units`, but not above `max` units, unless the level is higher already.
    pub(super) fn refund_up_to(&mut self, units: u64, max: u64) {
        let level = self.level.saturating_add(self.parts(units)).min(self.parts(max)).min(self.capacity);
        self.level = self.level.max(level);
    }

    /// Returns the time up to which the bucket is filled: in the future during a pause.
    pub(super) fn filled_until(&self) -> Instant {
        self.filled_until
    }

    /// Starts a pause until `until`. After it, at most `units` can be taken at once, and the others at the rate.
    pub(super) fn pause(&mut self, until: Instant, units: u64) {
        self.fill(until);
        self.level = self.level.min(self.parts(units));
    }

    /// Lowers the level to what the server has left. If that is not enough for `units`, this starts a pause until it
    /// is, at the rate at which the server's own bucket fills. The same report during that pause changes nothing.
    pub(super) fn tighten(&mut self, now: Instant, window: &RateWindow, units: u64) {
        if self.filled_until <= now {
            self.level = self.level.min(self.parts(window.remaining));
        }
        let needed = units.min(window.limit);
        if window.remaining < needed {
            let share = (needed - window.remaining) as f64 / (window.limit - window.remaining) as f64;
            self.pause(after(now, window.reset.min(MAX_RESET).mul_f64(share)), units);
        }
    }
}

/// The longest reset time that is taken seriously.
const MAX_RESET: Duration = Duration::from_secs(365 * 24 * 3600);

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ten units per second, three at once.
    fn bucket() -> (Bucket, Instant) {
        let bucket = Bucket::new(10, Duration::from_secs(1), 300 * MS);
        let start = bucket.filled_until;
        (bucket, start)
    }

    #[test]
    fn a_burst_is_available_at_once_and_the_rest_at_the_rate() {
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
    fn the_bucket_holds_at_most_the_burst_and_at_least_one_unit() {
        let (mut bucket, start) = bucket();
        bucket.fill(start + Duration::from_secs(3600));
        bucket.take(3);
        assert!(bucket.due(1, 0) > bucket.filled_until);
        let mut strict = Bucket::new(10, Duration::from_secs(1), Duration::ZERO);
        assert_eq!(strict.due(1, 0), strict.filled_until);
        strict.take(1);
        assert_eq!(strict.due(1, 0), strict.filled_until + 100 * MS);
    }

    #[test]
    fn taking_more_than_the_bucket_holds_leaves_a_debt() {
        let (mut bucket, start) = bucket();
        assert_eq!(bucket.due(10, 0), start, "the bucket is full");
        bucket.take(10);
        assert_eq!(bucket.due(1, 0) - start, 800 * MS, "a debt of seven, and one needed");
        bucket.refund(7);
        assert_eq!(bucket.due(1, 0) - start, 100 * MS);
    }

    #[test]
    fn a_rate_that_does_not_divide_evenly_is_never_exceeded() {
        let mut bucket = Bucket::new(7, Duration::from_secs(1), Duration::ZERO);
        let start = bucket.filled_until;
        for _ in 0..700 {
            bucket.fill(bucket.due(1, 0));
            bucket.take(1);
        }
        let took = bucket.filled_until - start;
        // The first unit is there at once, so 699 had to flow in.
        let exact = Duration::from_nanos(699 * 1_000_000_000 / 7);
        assert!(took >= exact && took < exact + MS, "{took:?}");
    }

    #[test]
    fn another_rate_keeps_the_level_or_the_debt() {
        let (mut bucket, start) = bucket();
        let faster = || Bucket::new(1000, Duration::from_secs(10), 5_000 * MS);
        assert_eq!(bucket.at_rate_of(faster()).due(1, 2), start, "the bucket holds three");
        assert_eq!(bucket.at_rate_of(faster()).due(1, 3) - start, 10 * MS);
        bucket.take(10);
        assert_eq!(bucket.at_rate_of(faster()).due(1, 0) - start, 80 * MS, "a debt of seven, and one needed");
        bucket.pause(start + 5_000 * MS, 1);
        assert_eq!(
            bucket.at_rate_of(faster()).due(1, 0),
            bucket.due(1, 0).min(bucket.filled_until + 80 * MS),
            "a pause stays"
        );
        let mut slow = Bucket::new(1, Duration::from_secs(60), Duration::ZERO);
        let start = slow.filled_until;
        slow.take(1);
        slow.fill(start + 45_000 * MS);
        let twice = slow.at_rate_of(Bucket::new(2, Duration::from_secs(60), Duration::ZERO));
        assert_eq!(
            twice.due(1, 0) - start,
            52_500 * MS,
            "three quarters had flowed in, and the last quarter takes half the time"
        );
    }

    #[test]
    fn after_a_pause_units_come_one_by_one() {
        let (mut bucket, start) = bucket();
        bucket.pause(start + 5_000 * MS, 1);
        assert_eq!(bucket.due(1, 0) - start, 5_000 * MS);
        assert_eq!(bucket.due(1, 1) - start, 5_100 * MS);
        bucket.pause(start + 100 * MS, 1);
        assert_eq!(bucket.due(1, 0) - start, 5_000 * MS, "a shorter pause changes nothing");
    }

    #[test]
    fn a_report_of_the_server_only_tightens() {
        let window = |limit, remaining, ms| RateWindow { limit, remaining, reset: ms * MS };
        let (mut bucket, start) = bucket();
        bucket.tighten(start, &window(100, 50, 0), 1);
        assert_eq!(bucket.due(1, 2), start, "three as before");
        bucket.tighten(start, &window(100, 1, 99_000), 1);
        assert_eq!((bucket.due(1, 0), bucket.due(1, 1)), (start, start + 100 * MS));
        // Nothing is left, and the server's bucket of 60 fills in a minute: one per second.
        bucket.tighten(start, &window(60, 0, 60_000), 1);
        assert_eq!(bucket.due(1, 0) - start, 1_000 * MS);
        // Ten running calls report the same.
        for _ in 0..10 {
            bucket.tighten(start, &window(60, 0, 60_000), 1);
        }
        assert_eq!(bucket.due(1, 0) - start, 1_000 * MS);
    }
}
