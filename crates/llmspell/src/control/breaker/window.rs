//! A sliding window of calls and failures.

use std::time::Duration;

use tokio::time::Instant;

/// The number of parts of the window; the oldest is forgotten as a whole.
const SLOTS: u32 = 10;

/// A ring of time slots, so that a call costs the same however many came before it.
pub(super) struct Window {
    width: Duration,
    ring: [TimeSlot; SLOTS as usize],
    current: usize,
    /// The start of the current slot; `None` before the first call.
    slot_start: Option<Instant>,
    /// The sums of the ring.
    calls: u64,
    failures: u64,
}

#[derive(Clone, Copy, Default)]
struct TimeSlot {
    calls: u64,
    failures: u64,
    /// The latest time until which a failure asked callers to wait.
    not_before: Option<Instant>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let width = (length / SLOTS).max(Duration::from_nanos(1));
        Window { width, ring: Default::default(), current: 0, slot_start: None, calls: 0, failures: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Window { width: self.width, ..Window::new(Duration::ZERO) };
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.count(now);
    }

    /// Counts a failure that asked callers to wait until `not_before`.
    pub(super) fn failed(&mut self, now: Instant, not_before: Option<Instant>) {
        let bucket = self.count(now);
        bucket.failures += 1;
        bucket.not_before = bucket.not_before.max(not_before);
        self.failures += 1;
    }

    fn count(&mut self, now: Instant) -> &mut TimeSlot {
        self.forget(now);
        self.calls += 1;
        let bucket = &mut self.ring[self.current];
        bucket.calls += 1;
        bucket
    }

    /// Returns the calls and failures in the window, as of the last counted call.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.calls, self.failures)
    }

    /// Returns the latest time until which a failure asked callers to wait.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.ring.iter().filter_map(|bucket| bucket.not_before).max()
    }

    /// Forgets what is older than the window. A clock that seems to run backwards, because two threads have read it and
    /// then come in the other order, changes nothing.
    fn forget(&mut self, now: Instant) {
        let slot_start = *self.slot_start.get_or_insert(now);
        let age = now.saturating_duration_since(slot_start);
        if age < self.width {
            return;
        }
        let (age, width) = (age.as_nanos(), self.width.as_nanos());
        let passed = age / width;
        for _ in 0..passed.min(u128::from(SLOTS)) {
            self.current = (self.current + 1) % self.ring.len();
            let old = std::mem::take(&mut self.ring[self.current]);
            self.calls -= old.calls;
            self.failures -= old.failures;
        }
        // Less than the width of a slot, which is a tenth of a duration: there is no overflow.
        let into = Duration::from_nanos_u128(age % width);
        self.slot_start = Some(now - into);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares the window with a list of all calls, of which the last ten tenths count.
        #[test]
        fn the_sums_are_those_of_recent_calls(calls in prop::collection::vec((0..25u64, any::<bool>()), 1..200)) {
            let start = Instant::now();
            let mut window = Window::new(Duration::from_millis(100));
            let (mut at, mut all) = (0, Vec::new());
            for (admit_if_closed, failed) in calls {
                at += admit_if_closed;
                let now = start + Duration::from_millis(at);
                let not_before = now + Duration::from_secs(1);
                if failed { window.failed(now, Some(not_before)) } else { window.succeeded(now) }
                all.push((at, failed));
                let tenth = |at: u64| (at - all[0].0) / 10;
                let recent: Vec<_> = all.iter().filter(|(then, _)| tenth(*then) + 10 > tenth(at)).collect();
                let mut failures = recent.iter().filter(|(_, failed)| *failed);
                prop_assert_eq!(window.sums(), (recent.len() as u64, failures.clone().count() as u64));
                let not_before = failures.next_back().map(|(then, _)| start + Duration::from_millis(then + 1000));
                prop_assert_eq!(window.not_before(), not_before);
            }
        }
    }

    #[test]
    fn a_clock_that_seems_to_run_backwards_changes_nothing() {
        let mut window = Window::new(Duration::from_secs(1));
        let now = Instant::now() + Duration::from_secs(100);
        window.failed(now, None);
        window.succeeded(now - Duration::from_secs(50));
        assert_eq!(window.sums(), (2, 1));
    }
}
