//! Stragglers: a second copy of the last slow items of a stream.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::observe::histogram::Histogram;
use crate::observe::outcome::ServedBy;
use crate::pattern::race::run_with_copy;
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::timing::{after, within};
use crate::step::{Step, StepInfo};

/// The settings for stragglers: which items of a stream get a second copy. See
/// [`Streaming::stragglers`](crate::pattern::stream::Streaming::stragglers).
///
/// A batch is as slow as its slowest item. Once the source has ended and few items are left, an item that is
/// much slower than the others is run a second time. The first of the two copies to succeed wins, and the other
/// is dropped. The number of second copies never exceeds the number of items that were left.
///
/// After the backup tasks of Dean and Ghemawat, "MapReduce" (OSDI 2004), section 3.6. Comparing with the median
/// of finished items follows Spark.
#[derive(Clone, Copy, Debug)]
#[must_use = "this does nothing until a stream uses it"]
pub struct Stragglers {
    size: TailSize,
    factor: f64,
}

#[derive(Clone, Copy, Debug)]
enum TailSize {
    Items(usize),
    Share(f64),
}

impl Stragglers {
    /// Returns settings for the last `items` of a stream.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn last(items: usize) -> Self {
        assert!(items > 0, "the number of last items must be at least 1: to have no stragglers, leave the setting out");
        Stragglers { size: TailSize::Items(items), factor: 2.0 }
    }

    /// Returns settings for the last `share` of the items of a stream, from 0 to 1; at least one item.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn last_share(share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share must be between 0 and 1");
        Stragglers { size: TailSize::Share(share), factor: 2.0 }
    }

    /// Starts a second copy once an item has taken `factor` times the median of the items that succeeded. The
    /// default is 2.
    ///
    /// # Panics
    /// If `factor` is less than 1, because half of the items would be stragglers.
    pub fn slower_than(mut self, factor: f64) -> Self {
        assert!((1.0..=1e6).contains(&factor), "the factor must be at least 1: a straggler is slower than the median");
        self.factor = factor;
        self
    }

    fn tail_size(&self, items: usize) -> usize {
        match self.size {
            TailSize::Items(size) => size,
            TailSize::Share(share) => ((items as f64 * share) as usize).max(1),
        }
    }
}

/// The resolution of timers: the shortest time that an item is given, even if the others finish at once.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// The progress of the items of a stream, shared by all of them.
pub(super) struct TailTracker {
    policy: Stragglers,
    state: Mutex<TailState>,
    /// Notified when the last items are known, and whenever one of them ends.
    changed: Notify,
}

#[derive(Default)]
struct TailState {
    /// The durations of items that succeeded.
    times: Histogram,
    ended: usize,
    /// The number of last items and of all items, once the source has ended.
    last: Option<(usize, usize)>,
    /// The number of second copies started.
    copies: usize,
}

impl TailState {
    /// Returns whether only the last items are left.
    fn is_tail(&self) -> bool {
        self.last.is_some_and(|(last, items)| items.saturating_sub(self.ended) <= last)
    }
}

/// Whether an item is late.
enum Lateness {
    /// Not known: no item has finished, or the last items are not known.
    Unknown,
    /// Not before it has run for this long.
    After(Duration),
    /// Late: the second copy should start.
    Now,
    /// Never: the number of second copies has reached its limit.
    Never,
}

impl TailTracker {
    pub(super) fn new(policy: Stragglers) -> Self {
        TailTracker { policy, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, TailState> {
        lock(&self.state)
    }

    /// Records that the source has ended after `items`.
    pub(super) fn source_ended(&self, items: usize) {
        self.change(|state| state.last = Some((self.policy.tail_size(items), items)));
    }

    /// Changes the state, and wakes the remaining items if they are the last.
    fn change(&self, change: impl FnOnce(&mut TailState)) {
        let is_tail = {
            let mut state = self.state();
            change(&mut state);
            state.is_tail()
        };
        if is_tail {
            self.changed.notify_waiters();
        }
    }

    /// Returns whether an item of age `age` is late. If it is, counts its second copy.
    fn lateness(&self, age: Duration) -> Lateness {
        let mut state = self.state();
        if !state.is_tail() || state.times.count() == 0 {
            return Lateness::Unknown;
        }
        let allowed = state.times.percentile(50.0).mul_f64(self.policy.factor).max(TIMER_RESOLUTION);
        if age < allowed {
            return Lateness::After(allowed);
        }
        // A source that has misreported its length may have more items after the last.
        if state.last.is_none_or(|(last, _)| state.copies >= last) {
            return Lateness::Never;
        }
        state.copies += 1;
        Lateness::Now
    }

    /// Waits until an item that started at `started` is one of the last and has taken too long.
    async fn is_late(&self, started: Instant, cx: &Context) -> EventKind {
        loop {
            // Registered before the state is read, so that no change is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            // Items in flight are still delivered after cancellation, but nothing new starts.
            if cx.is_cancelled() {
                return pending().await;
            }
            let age = started.elapsed();
            match self.lateness(age) {
                Lateness::Unknown => changed.await,
                Lateness::After(allowed) => drop(within(after(started, allowed), changed).await),
                Lateness::Now => return EventKind::Straggler { after: age },
                Lateness::Never => return pending().await,
            }
        }
    }
}

/// A running item. Dropping it counts the item as ended in any case.
struct RunningItem<'a> {
    tail: &'a TailTracker,
    took: Option<Duration>,
}

impl Drop for RunningItem<'_> {
    fn drop(&mut self) {
        self.tail.change(|state| {
            state.ended += 1;
            if let Some(took) = self.took {
                state.times.record(took);
            }
        });
    }
}

/// A step whose slow last items in a stream get a second copy; made by
/// [`Streaming::stragglers`](crate::pattern::stream::Streaming::stragglers).
#[must_use = "a step does nothing until it runs"]
pub struct WithStragglers<S> {
    step: Arc<S>,
    tail: Arc<TailTracker>,
}

impl<S> Clone for WithStragglers<S> {
    fn clone(&self) -> Self {
        WithStragglers { step: self.step.clone(), tail: self.tail.clone() }
    }
}

impl<S: fmt::Debug> fmt::Debug for WithStragglers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithStragglers").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<S: Step> WithStragglers<S> {
    pub(super) fn new(step: Arc<S>, tail: Arc<TailTracker>) -> Self {
        assert!(
            step.info().idempotent,
            "a straggler runs twice: declare the step with `.idempotent()` if that does no harm"
        );
        WithStragglers { step, tail }
    }
}

impl<S: Step<In: Clone>> Step for WithStragglers<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let mut item = RunningItem { tail: &self.tail, took: None };
        let started = Instant::now();
        let is_late = self.tail.is_late(started, cx);
        let result = run_with_copy(&*self.step, input, cx, None, is_late, ServedBy::Straggler).await;
        item.took = result.is_ok().then(|| started.elapsed());
        // A panic has the same path as without second copies.
        result.map_err(|error| if error.kind() == ErrorKind::Panicked { error.at(|| cx.path()) } else { error })
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
