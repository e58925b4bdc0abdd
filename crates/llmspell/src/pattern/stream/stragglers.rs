//! A second copy for the last slow items of a stream.

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
use crate::pattern::race::seconded;
use crate::runtime::executor::{after, within};
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::step::{Step, StepInfo};

/// Which items of a stream get a second copy, see [`Streaming::stragglers`](crate::Streaming::stragglers).
///
/// A batch is as slow as its slowest item. Once the source has ended and only a few items are left, those that
/// take much longer than the others did are run a second time beside the first; the first of the two to
/// succeed serves, and the other is dropped. So there are never more second copies than items were left,
/// however slow they are.
///
/// After the backup tasks of Dean and Ghemawat, "MapReduce" (OSDI 2004), section 3.6; to compare with the
/// median of what has finished is how Spark does it.
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Stragglers {
    most: Most,
    factor: f64,
}

#[derive(Clone, Copy, Debug)]
enum Most {
    Items(usize),
    Share(f64),
}

impl Stragglers {
    /// The last `items` of a stream.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn last(items: usize) -> Self {
        assert!(items > 0, "of the last 0 items, none is a straggler: leave it out");
        Stragglers { most: Most::Items(items), factor: 2.0 }
    }

    /// The last `share` of the items of a stream, from 0 to 1; at least one.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn last_share(share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share lies between 0 and 1");
        Stragglers { most: Most::Share(share), factor: 2.0 }
    }

    /// Waits until the item has taken `factor` times as long as half of those that have succeeded, their
    /// median. The default is 2.
    ///
    /// # Panics
    /// If `factor` is less than 1: half of the items would be stragglers.
    pub fn slower_than(mut self, factor: f64) -> Self {
        assert!((1.0..=1e6).contains(&factor), "a straggler takes at least as long as the median");
        self.factor = factor;
        self
    }

    fn most_of(&self, items: usize) -> usize {
        match self.most {
            Most::Items(most) => most,
            Most::Share(share) => ((items as f64 * share) as usize).max(1),
        }
    }
}

/// What timers can tell apart: the least time that an item has, if the others are done at once.
const TICK: Duration = Duration::from_millis(1);

/// How far the items of a stream have come, as each of them sees it.
pub(super) struct TailTracker {
    policy: Stragglers,
    state: Mutex<State>,
    /// Raised when the last items are known, and then whenever there is one less.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// How long items have taken that succeeded.
    times: Histogram,
    ended: usize,
    /// How many of the items are the last, once the source has ended; and how many there are in all.
    last: Option<(usize, usize)>,
    /// Second copies that were started.
    copies: usize,
}

impl State {
    /// Whether only the last items are left.
    fn is_tail(&self) -> bool {
        self.last.is_some_and(|(last, items)| items.saturating_sub(self.ended) <= last)
    }
}

/// What an item is told that asks whether it is late.
enum Verdict {
    /// There is nothing to go by.
    Unknown,
    /// Not before it has run for so long.
    Not(Duration),
    /// A second copy is to be started.
    Late,
    /// There are as many second copies as there may be.
    Full,
}

impl TailTracker {
    pub(super) fn new(policy: Stragglers) -> Self {
        TailTracker { policy, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The source has ended after so many items.
    pub(super) fn source_ended(&self, items: usize) {
        self.change(|state| state.last = Some((self.policy.most_of(items), items)));
    }

    /// Changes the state, and wakes the items that are left if they are the last.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let is_tail = {
            let mut state = self.state();
            change(&mut state);
            state.is_tail()
        };
        if is_tail {
            self.changed.notify_waiters();
        }
    }

    /// What is to be done about an item that has run for this long.
    fn judge(&self, age: Duration) -> Verdict {
        let mut state = self.state();
        if !state.is_tail() || state.times.count() == 0 {
            return Verdict::Unknown;
        }
        let allowed = state.times.percentile(50.0).mul_f64(self.policy.factor).max(TICK);
        if age < allowed {
            return Verdict::Not(allowed);
        }
        // A source that has misjudged its length may have more items after the last.
        if state.last.is_none_or(|(last, _)| state.copies >= last) {
            return Verdict::Full;
        }
        state.copies += 1;
        Verdict::Late
    }

    /// Completes when an item that began at `started` is one of the last and has taken too long.
    async fn is_late(&self, started: Instant, cx: &Context) -> EventKind {
        loop {
            // Listening begins before the look, so that no change is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            // What is in flight is delivered then, and nothing more is begun.
            if cx.is_cancelled() {
                return pending().await;
            }
            let age = started.elapsed();
            match self.judge(age) {
                Verdict::Unknown => changed.await,
                Verdict::Not(allowed) => drop(within(after(started, allowed), changed).await),
                Verdict::Late => return EventKind::Straggler { after: age },
                Verdict::Full => return pending().await,
            }
        }
    }
}

/// An item that runs. Whatever becomes of it, it is not left in the end.
struct Running<'a> {
    tail: &'a TailTracker,
    took: Option<Duration>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.tail.change(|state| {
            state.ended += 1;
            if let Some(took) = self.took {
                state.times.record(took);
            }
        });
    }
}

/// A step whose last runs over a stream get a second copy if they are slow; made by
/// [`Streaming::stragglers`](crate::Streaming::stragglers).
#[must_use = "a step does nothing until it runs"]
pub struct WithStragglers<S> {
    step: Arc<S>,
    tail: Arc<TailTracker>,
}

impl<S: Step> WithStragglers<S> {
    pub(super) fn new(step: Arc<S>, tail: Arc<TailTracker>) -> Self {
        assert!(
            step.info().idempotent,
            "a straggler is run twice: declare the step with `.idempotent()` if that does no harm"
        );
        WithStragglers { step, tail }
    }
}

impl<S: Step<In: Clone>> Step for WithStragglers<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let mut item = Running { tail: &self.tail, took: None };
        let started = Instant::now();
        let is_late = self.tail.is_late(started, cx);
        let result = seconded(&*self.step, input, cx, None, is_late, ServedBy::Straggler).await;
        item.took = result.is_ok().then(|| started.elapsed());
        // A panic is told as it is without second copies.
        result.map_err(|error| if error.kind() == ErrorKind::Panicked { error.at(|| cx.path()) } else { error })
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
