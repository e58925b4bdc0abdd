//! One step over a stream of inputs, several at a time.
//!
//! *Waits for* each item; outcomes arrive as they complete, or in the order of the inputs.
//! *Cancels* all items in flight when it is dropped or ends early ([`Streaming::take`], [`Streaming::until`],
//! [`Streaming::stop`]).
//! *Bounds* the items in flight by [`Streaming::limit`], and how far the source is pulled ahead of the
//! consumer: pulled minus delivered never exceeds the limit plus the reorder window. [`Stragglers`] bounds the
//! second copies of the last items ([`Streaming::stragglers`]).
//! *Fails with* nothing: a failure, a panic included, is the outcome of its item, and the stream continues.
//!
//! A stream pulls no more inputs once a [breaker](Streaming::breaker) opens, a [budget](Streaming::budget) is
//! exhausted, or its context is [cancelled](crate::Context::cancellable) or past its deadline. It then delivers
//! the items in flight.
//!
//! Items run on their own tasks, so they progress while the consumer is busy, and the consumer can share any
//! lock with them. The consumer polls the source: this is the backpressure.
//!
//! A slow consumer yields once after it has admitted items. Otherwise it would delay their start, because tokio
//! keeps the task that was woken last for the thread that woke it. A consumer that turns slow is noticed within
//! eight outcomes.
//!
//! ```
//! use llmspell::{Context, Step, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let square = step(|n: u64, _| async move { Ok(n * n) });
//! let mut squares = square.stream(1.., &Context::new()).limit(3).ordered();
//! let mut sum = 0;
//! while let Some(outcome) = squares.next().await {
//!     sum += outcome.result?;
//!     if sum > 50 {
//!         break; // dropping `squares` stops the items in flight
//!     }
//! }
//! assert_eq!(sum, 55);
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod admission_gates;
mod consume;
mod consumer_yield;
mod items;
mod limit;
mod options;
mod poll;
mod source;
mod stragglers;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Sleep;

use admission_gates::AdmissionGates;
use consumer_yield::ConsumerYield;
use items::Items;
pub use limit::LimitHandle;
use limit::StreamLimit;
pub use source::IntoSource;
use source::Source;
use stragglers::TailTracker;
pub use stragglers::{Stragglers, WithStragglers};

use crate::context::Context;
use crate::control::breaker::Breaker;
use crate::observe::outcome::Outcome;
use crate::runtime::executor::WorkerPool;
use crate::step::Step;

/// The outcomes of a step over a stream of inputs, itself a `Stream`; made by [`Step::stream`].
///
/// Nothing runs before the first poll, which must happen inside a tokio runtime (with timers, if the stream
/// ends early). Dropping the stream stops everything in flight.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Streaming<S: Step> {
    pool: WorkerPool<Items<S>>,
    /// `None` once the source has ended or is no longer needed.
    source: Option<Source<S::In>>,
    cancelled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    gates: AdmissionGates,
    limit: StreamLimit,
    window: usize,
    /// Outcomes that wait for an earlier one; the first slot is that of the next outcome to deliver. `None` if
    /// order does not matter.
    reorder: Option<VecDeque<Option<Outcome<S::Out>>>>,
    pulled: usize,
    finished: usize,
    delivered: usize,
    /// Jobs on their way from the source to the worker pool.
    admitted: VecDeque<(usize, S::In)>,
    /// Tells the last items that they are the last. `None` once it has, or without stragglers.
    tail: Option<Arc<TailTracker>>,
    consumer_yield: ConsumerYield,
    take: usize,
    until: Option<Box<Predicate<S::Out>>>,
    /// The breakers that record every outcome.
    breakers: Vec<Breaker>,
    phase: StreamPhase,
}

type Predicate<T> = dyn FnMut(&Outcome<T>) -> bool + Send;

enum StreamPhase {
    Running,
    /// Waiting until all started work has ended, at most until the timer, which is set when there is something
    /// to wait for.
    Stopping(Option<Pin<Box<Sleep>>>),
    Ended,
}

impl<S: Step> Streaming<S> {
    pub(crate) fn new(step: Arc<S>, source: Source<S::In>, cx: Context) -> Self {
        let limit = step.info().default_in_flight.max(1);
        let cancelled = cx.can_be_cancelled().then(|| {
            let cx = cx.clone();
            Box::pin(async move { cx.cancelled().await }) as _
        });
        Streaming {
            pool: WorkerPool::new(cx.pool_guards(), Items::new(step, cx.clone())),
            source: Some(source),
            cancelled,
            gates: AdmissionGates::default(),
            limit: StreamLimit::Fixed(limit),
            window: 0,
            reorder: None,
            pulled: 0,
            finished: 0,
            delivered: 0,
            admitted: VecDeque::new(),
            tail: None,
            consumer_yield: ConsumerYield::new(),
            take: usize::MAX,
            until: None,
            breakers: Vec::new(),
            phase: StreamPhase::Running,
        }
    }
}

impl<S: Step> fmt::Debug for Streaming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("limit", &self.limit.items())
            .field("window", &self.window)
            .field("pulled", &self.pulled)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

/// No field is pinned in place.
impl<S: Step> Unpin for Streaming<S> {}
