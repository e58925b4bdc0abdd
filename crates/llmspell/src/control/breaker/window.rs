//! Calls and failures of the recent past.

use std::time::Duration;

use tokio::time::Instant;

/// How many parts the window has; the oldest is forgotten as a whole.
const BUCKETS: u32 = 10;

/// A ring of buckets, so that a call costs the same however many came before it.
pub(super) struct Window {
    width: Duration,
    ring: [Bucket; BUCKETS as usize],
    current: usize,
    /// When the current bucket began; `None` before the first call.
    began: Option<Instant>,
    /// What the ring adds up to.
    calls: u64,
    failures: u64,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    calls: u64,
    failures: u64,
    /// Until when a failure asked for quiet.
    quiet: Option<Instant>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let width = (length / BUCKETS).max(Duration::from_nanos(1));
        Window { width, ring: Default::default(), current: 0, began: None, calls: 0, failures: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Window { width: self.width, ..Window::new(Duration::ZERO) };
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.count(now);
    }

    /// Counts a failure that asked to be left alone until `quiet`.
    pub(super) fn failed(&mut self, now: Instant, quiet: Option<Instant>) {
        let bucket = self.count(now);
        bucket.failures += 1;
        bucket.quiet = bucket.quiet.max(quiet);
        self.failures += 1;
    }

    fn count(&mut self, now: Instant) -> &mut Bucket {
        self.forget(now);
        self.calls += 1;
        let bucket = &mut self.ring[self.current];
        bucket.calls += 1;
        bucket
    }

    /// Calls and failures, as of the last one that was counted.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.calls, self.failures)
    }

    /// Until when any of the failures asked for quiet.
    pub(super) fn quiet(&self) -> Option<Instant> {
        self.ring.iter().filter_map(|bucket| bucket.quiet).max()
    }

    /// Leaves behind what is older than the window. A clock that seems to run backwards, because two threads have
    /// read it and then come in the other order, moves nothing.
    fn forget(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age < self.width {
            return;
        }
        let (age, width) = (age.as_nanos(), self.width.as_nanos());
        let passed = age / width;
        for _ in 0..passed.min(u128::from(BUCKETS)) {
            self.current = (self.current + 1) % self.ring.len();
            let old = std::mem::take(&mut self.ring[self.current]);
            self.calls -= old.calls;
            self.failures -= old.failures;
        }
        // Less than the width of a bucket, which is a tenth of a duration: there is no overflow.
        let into = Duration::from_nanos_u128(age % width);
        self.began = Some(now - into);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of all calls, of which the last ten tenths count.
        #[test]
        fn it_adds_up_what_is_not_too_old(calls in prop::collection::vec((0..25u64, any::<bool>()), 1..200)) {
            let start = Instant::now();
            let mut window = Window::new(Duration::from_millis(100));
            let (mut at, mut all) = (0, Vec::new());
            for (pass, failed) in calls {
                at += pass;
                let now = start + Duration::from_millis(at);
                let quiet = now + Duration::from_secs(1);
                if failed { window.failed(now, Some(quiet)) } else { window.succeeded(now) }
                all.push((at, failed));
                let tenth = |at: u64| (at - all[0].0) / 10;
                let recent: Vec<_> = all.iter().filter(|(then, _)| tenth(*then) + 10 > tenth(at)).collect();
                let mut failures = recent.iter().filter(|(_, failed)| *failed);
                prop_assert_eq!(window.sums(), (recent.len() as u64, failures.clone().count() as u64));
                let quiet = failures.next_back().map(|(then, _)| start + Duration::from_millis(then + 1000));
                prop_assert_eq!(window.quiet(), quiet);
            }
        }
    }

    #[test]
    fn a_clock_that_seems_to_run_backwards_moves_nothing() {
        let mut window = Window::new(Duration::from_secs(1));
        let now = Instant::now() + Duration::from_secs(100);
        window.failed(now, None);
        window.succeeded(now - Duration::from_secs(50));
        assert_eq!(window.sums(), (2, 1));
    }
}
