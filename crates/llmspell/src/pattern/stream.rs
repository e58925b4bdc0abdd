//! One step over a stream of inputs, several at once.
//!
//! *Waits for* each item; outcomes come as they finish, or in the order of the inputs.
//! *Cancels* everything in flight when it is dropped or ends early ([`Streaming::take`],
//! [`Streaming::until`], [`Streaming::stop`]).
//! *Bounds* the items in flight by [`Streaming::limit`], and how far the source is pulled ahead of the
//! consumer: pulled minus delivered never exceeds the limit plus the reorder window. Second copies of the last
//! items ([`Streaming::stragglers`]) are bounded by [`Stragglers`].
//! *Fails with* nothing: a failure, a panic included, is the outcome of its item, and the stream goes on.
//!
//! Once a [breaker](Streaming::breaker) opens, a [budget](Streaming::budget) is used up, or its context is
//! [cancelled](crate::Context::cancellable) or past its deadline, a stream pulls no more and delivers what is in
//! flight.
//!
//! Items run on tasks of their own, so they make progress while the consumer is busy, and the consumer may
//! share any lock with them. A consumer that is slow gives way once after it has admitted something, or else it would
//! keep that from its start: tokio keeps the task that was woken last for the thread that woke it. (That a consumer has
//! turned slow is noticed within eight outcomes.) The source is polled by the consumer; that is what backpressure means.
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
//!         break; // the items in flight are stopped as `squares` is dropped
//!     }
//! }
//! assert_eq!(sum, 55);
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod admission_gate;
mod bound;
mod consumer_yield;
mod items;
mod source;
mod stragglers;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use futures_core::Stream;
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) use admission_gate::AdmissionGate;
use admission_gate::AdmissionGates;
use bound::Bound;
pub use bound::LimitHandle;
use consumer_yield::ConsumerYield;
use items::Items;
pub use source::IntoSource;
use source::Source;
use stragglers::TailTracker;
pub use stragglers::{Stragglers, WithStragglers};

use crate::context::Context;
use crate::control::breaker::Breaker;
use crate::control::budget::{Budget, StreamBudget};
use crate::error::{Error, Result};
use crate::observe::event::EventKind;
use crate::observe::outcome::Outcome;
use crate::runtime::executor::{GRACE, WorkerPool};
use crate::step::Step;

/// The outcomes of a step over a stream of inputs; made by [`Step::stream`]. A `Stream` itself.
///
/// Nothing runs before the first poll, which must happen inside a tokio runtime (with timers, if it is to end
/// early). Dropping it stops everything in flight.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Streaming<S: Step> {
    pool: WorkerPool<Items<S>>,
    /// `None` once it has ended or is not wanted any more.
    source: Option<Source<S::In>>,
    cancelled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    gates: AdmissionGates,
    limit: Bound,
    window: usize,
    /// Outcomes that wait for an earlier one; the first place is that of the next to deliver. `None` if
    /// order does not matter.
    reorder: Option<VecDeque<Option<Outcome<S::Out>>>>,
    pulled: usize,
    finished: usize,
    delivered: usize,
    /// Jobs on their way from the source to the crew.
    admitted: VecDeque<(usize, S::In)>,
    /// Where the last items learn that they are the last; `None` once they know, or if nobody asks.
    tail: Option<Arc<TailTracker>>,
    courtesy: ConsumerYield,
    take: usize,
    until: Option<Box<Predicate<S::Out>>>,
    /// Those that hear of every outcome.
    breakers: Vec<Breaker>,
    ending: Ending,
}

type Predicate<T> = dyn FnMut(&Outcome<T>) -> bool + Send;

enum Ending {
    NotYet,
    /// Waiting until nothing is left of what was started, at most until the alarm, which is set when there
    /// is something to wait for.
    Stopping(Option<Pin<Box<Sleep>>>),
    Ended,
}

/// How many admitted items use up as much of the consumer's share of time as one outcome does, so that one with a
/// large limit gives others their turn while it starts.
const ADMITTED_AT_ONCE: usize = 8;

impl<S: Step> Streaming<S> {
    pub(crate) fn new(step: Arc<S>, source: Source<S::In>, cx: Context) -> Self {
        let limit = step.info().default_in_flight.max(1);
        let cancelled = cx.can_be_cancelled().then(|| {
            let cx = cx.clone();
            Box::pin(async move { cx.cancelled().await }) as _
        });
        Streaming {
            pool: WorkerPool::new(&cx, Items::new(step, cx.clone())),
            source: Some(source),
            cancelled,
            gates: AdmissionGates::default(),
            limit: Bound::Fixed(limit),
            window: 0,
            reorder: None,
            pulled: 0,
            finished: 0,
            delivered: 0,
            admitted: VecDeque::new(),
            tail: None,
            courtesy: ConsumerYield::new(),
            take: usize::MAX,
            until: None,
            breakers: Vec::new(),
            ending: Ending::NotYet,
        }
    }

    /// Keeps at most `items` in flight. The default is 16, or what a
    /// [pipeline](crate::pattern::pipeline) or a [limit that adapts](crate::Adaptive) needs to be kept busy.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn limit(mut self, items: usize) -> Self {
        self.limit.set(items);
        self
    }

    /// What changes the limit while the stream runs, from wherever it is.
    ///
    /// ```
    /// use llmspell::{Context, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let echo = step(|n: u32, _| async move { Ok(n) });
    /// let mut outcomes = echo.stream(0..10_000, &Context::new()).limit(2);
    /// let limit = outcomes.limit_handle();
    /// while let Some(outcome) = outcomes.next().await {
    ///     if outcome.index == 100 {
    ///         limit.resize(64); // the first hundred went well
    ///     }
    /// }
    /// assert_eq!(limit.items(), 64);
    /// # });
    /// ```
    pub fn limit_handle(&mut self) -> LimitHandle {
        self.limit.handle()
    }

    /// Delivers outcomes in the order of their inputs. While the first in line is slow, finished ones
    /// wait and count against the limit, unless there is a [window](Streaming::window).
    pub fn ordered(mut self) -> Self {
        self.reorder.get_or_insert_default();
        self
    }

    /// Lets `outcomes` beyond the limit wait for an earlier one, so that a slow item does not hold up the
    /// admission of others. The default is 0. Implies [`Streaming::ordered`].
    pub fn window(mut self, outcomes: usize) -> Self {
        self.window = outcomes;
        self.ordered()
    }

    /// Ends after `outcomes`, failures included, and stops what is then in flight.
    pub fn take(mut self, outcomes: usize) -> Self {
        self.take = outcomes;
        self
    }

    /// Takes no more inputs once `stop` completes, and ends when what is in flight has come to its own end: it runs
    /// on, with its waits and its retries. To end those as well, cancel the [context](Context::cancellable).
    ///
    /// ```
    /// use std::time::Duration;
    /// use llmspell::{Context, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
    /// let work = step(|n: u32, _| async move {
    ///     tokio::time::sleep(Duration::from_secs(1)).await;
    ///     Ok(n)
    /// });
    /// let enough = tokio::time::sleep(Duration::from_millis(1500));
    /// let mut outcomes = work.stream(0.., &Context::new()).limit(2).take_until(enough);
    /// let mut count = 0;
    /// while let Some(outcome) = outcomes.next().await {
    ///     assert!(outcome.is_ok());
    ///     count += 1;
    /// }
    /// assert_eq!(count, 4); // two after one second, and the two that had begun by then
    /// # });
    /// ```
    pub fn take_until(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut stop: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(stop);
        self.cancelled = Some(match self.cancelled.take() {
            None => stop,
            Some(mut cancelled) => Box::pin(poll_fn(move |task| match cancelled.as_mut().poll(task) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => stop.as_mut().poll(task),
            })),
        });
        self
    }

    /// Ends after the first outcome for which `enough` holds, that one included, and stops what is then
    /// in flight.
    pub fn until(mut self, enough: impl FnMut(&Outcome<S::Out>) -> bool + Send + 'static) -> Self {
        self.until = Some(Box::new(enough));
        self
    }

    /// Gives the last items of the stream a second copy if they are slow; the first copy to succeed serves.
    /// The outcome of an item that its second copy has served says so with
    /// [`ServedBy::Straggler`](crate::ServedBy::Straggler).
    ///
    /// The limit of the stream counts items and not their copies; to bound the calls, limit the step. That the
    /// source has ended is known once it is polled for one more item, or before if it knows its length. A
    /// copy runs in the task of its item: if the step computes without a break, put it under
    /// [`Step::spawned`].
    ///
    /// ```
    /// use llmspell::{Context, Step, Stragglers, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let fetch = step(|page: u32, _| async move { Ok(page) }).idempotent();
    /// let pages = fetch.stream(0..100, &Context::new()).stragglers(Stragglers::last(3).slower_than(2.0));
    /// assert_eq!(pages.try_collect().await?.len(), 100);
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If the step is not declared [idempotent](Step::idempotent), for it would be run twice; or if the stream
    /// has been polled already.
    pub fn stragglers(self, policy: Stragglers) -> Streaming<WithStragglers<S>>
    where
        S::In: Clone,
    {
        assert!(self.pulled == 0, "what to do about stragglers must be said before the first poll");
        let (items, tail) = (self.pool.work(), Arc::new(TailTracker::new(policy)));
        let step = Arc::new(WithStragglers::new(items.step.clone(), tail.clone()));
        Streaming {
            pool: WorkerPool::new(&items.cx, items.with(step)),
            source: self.source,
            cancelled: self.cancelled,
            gates: self.gates,
            limit: self.limit,
            window: self.window,
            reorder: self.reorder,
            pulled: 0,
            finished: 0,
            delivered: 0,
            admitted: self.admitted,
            tail: Some(tail),
            breakers: self.breakers,
            courtesy: self.courtesy,
            take: self.take,
            until: self.until,
            ending: self.ending,
        }
    }

    /// Stops pulling from the source once the breaker opens, and delivers what is in flight; [`Streaming::stopped`]
    /// then says why. Every outcome counts for the breaker, its last error if it was retried.
    ///
    /// Use another breaker than one [around the step](Step::breaker): such a one would count each call twice, there and
    /// as the outcome of its item.
    ///
    /// With [`Breaker::on_denied`], a run of a million records ends when credentials or money are missing, not after a
    /// million failures. A stream that has stopped does not go on when the breaker half-opens; to refuse calls for a
    /// while, put a breaker around the step.
    ///
    /// ```
    /// use llmspell::{Breaker, Context, Error, ErrorKind, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let paid = step(|n: u64, _| async move { if n < 100 { Ok(n) } else { Err(Error::denied("402 Payment Required")) } });
    /// let mut answers = paid.stream(0..1_000_000, &Context::new()).limit(4).breaker(Breaker::on_denied());
    /// let (mut ok, mut denied) = (0, 0);
    /// while let Some(outcome) = answers.next().await {
    ///     *(if outcome.is_ok() { &mut ok } else { &mut denied }) += 1;
    /// }
    /// assert!(ok == 100 && denied < 20);
    /// assert_eq!(answers.stopped().unwrap().kind(), ErrorKind::Rejected);
    /// # });
    /// ```
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breakers.push(breaker.clone());
        self.behind(Arc::new(breaker))
    }

    /// The next outcome. `None` after the last one, and then no item is alive. (Tasks that an item has started
    /// itself, such as those of a stream inside of it, were told to stop and are gone within moments.)
    ///
    /// Cancel-safe: dropping the returned future loses no outcome.
    pub async fn next(&mut self) -> Option<Outcome<S::Out>> {
        poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    /// All outcomes, in the order in which they come. (Whether all inputs were let in is only known to
    /// whoever keeps the stream; see [`Streaming::stopped`].)
    pub async fn collect(mut self) -> Vec<Outcome<S::Out>> {
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// All results, in the order in which they come. The first failure stops what is in flight.
    ///
    /// # Errors
    /// The first failure that comes; or else why the stream [stopped](Streaming::stopped) before its source.
    pub async fn try_collect(mut self) -> Result<Vec<S::Out>> {
        let mut outs = Vec::new();
        while let Some(outcome) = self.next().await {
            match outcome.result {
                Ok(out) => outs.push(out),
                Err(error) => {
                    self.stop().await;
                    return Err(error);
                }
            }
        }
        match self.stopped() {
            Some(reason) => Err(reason.clone()),
            None => Ok(outs),
        }
    }

    /// Stops everything in flight and waits until it is gone.
    pub async fn stop(mut self) {
        self.finish();
        while self.next().await.is_some() {}
    }

    /// How many items have been pulled from the source so far.
    pub fn pulled(&self) -> usize {
        self.pulled
    }

    /// How many outcomes have been delivered so far.
    pub fn delivered(&self) -> usize {
        self.delivered
    }

    /// Why the stream has ended before its source: something that watches over the whole run, a breaker or a
    /// budget, lets no further input in. What was in flight is delivered all the same; inputs that the source
    /// still had were not pulled. `None` while nothing of the kind has happened.
    pub fn stopped(&self) -> Option<&Error> {
        self.gates.reason()
    }

    /// Lets inputs in only while there is enough in `budget` for another item; what an item is expected to use
    /// is reserved before its input is pulled. After that the stream pulls no more, delivers what is in flight,
    /// ends, and says [why](Streaming::stopped). No input that was pulled is refused.
    ///
    /// To cap single calls inside of the items, see [`Step::budget`].
    pub fn budget(mut self, budget: Budget) -> Self {
        let items = self.pool.work();
        match budget.for_stream(&items.cx) {
            StreamBudget::Unlimited => self,
            StreamBudget::Gate(gate) => self.behind(gate),
            StreamBudget::PerItem(seats) => {
                items.seat(seats.clone());
                self.gates.seat(seats);
                self
            }
        }
    }

    /// Lets inputs in only while `gate` is open.
    pub(crate) fn behind(mut self, gate: Arc<dyn AdmissionGate>) -> Self {
        self.gates.add(gate);
        self
    }

    fn tell_stopped(&self) {
        if let Some(error) = self.gates.reason() {
            self.pool.work().cx.fact(|| EventKind::StreamStopped { error: error.into() });
        }
    }

    /// Drops everything that is left: what is in flight, what waits, and the source.
    fn finish(&mut self) {
        self.source = None;
        self.reorder = self.reorder.take().map(|_| VecDeque::new());
        self.pool.abort();
        if matches!(self.ending, Ending::NotYet) {
            self.ending = Ending::Stopping(None);
        }
    }

    /// Pulls as many items as the bounds allow and hands them to the crew.
    fn admit(&mut self, task: &mut task::Context<'_>) {
        if let Some(cancelled) = &mut self.cancelled
            && cancelled.as_mut().poll(task).is_ready()
        {
            self.cancelled = None;
            self.source = None;
            // What is in flight gets no second copy.
            self.tail = None;
        }
        while let Some(source) = &mut self.source {
            let (running, undelivered) = (self.pulled - self.finished, self.pulled - self.delivered);
            let is_full = |limit: usize| running >= limit || undelivered >= limit.saturating_add(self.window);
            if self.limit.holds(task.waker(), is_full) {
                break;
            }
            // In order, what comes behind the last outcome that is wanted will never be delivered.
            if self.reorder.is_some() && self.pulled >= self.take {
                self.source = None;
                break;
            }
            if self.admitted.len() % ADMITTED_AT_ONCE == ADMITTED_AT_ONCE - 1 {
                match poll_proceed(task) {
                    Poll::Ready(turn) => turn.made_progress(),
                    Poll::Pending => break,
                }
            }
            match self.gates.poll_open(task) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    self.source = None;
                    self.tell_stopped();
                    break;
                }
                Poll::Pending => break,
            }
            match source.as_mut().poll_next(task) {
                Poll::Ready(Some(input)) => {
                    self.gates.enter();
                    self.admitted.push_back((self.pulled, input));
                    self.pulled += 1;
                }
                Poll::Ready(None) => self.source = None,
                Poll::Pending => break,
            }
        }
        self.gates.leave();
        if !self.admitted.is_empty() {
            self.pool.submit(&mut self.admitted);
        }
        // A source may know that it is at its end before the bounds allow to ask it for more.
        let is_over = |source: &Source<S::In>| source.size_hint().1 == Some(0);
        if let Some(tail) = self.tail.take_if(|_| self.source.as_ref().is_none_or(is_over)) {
            tail.source_ended(self.pulled);
        }
    }

    /// The next outcome to deliver, if one is ready.
    fn poll_outcome(&mut self, task: &mut task::Context<'_>) -> Poll<Outcome<S::Out>> {
        loop {
            if let Some(waiting) = &mut self.reorder
                && let Some(first) = waiting.front_mut()
                && let Some(outcome) = first.take()
            {
                waiting.pop_front();
                return Poll::Ready(outcome);
            }
            let outcome = ready!(self.pool.poll_next(task));
            self.finished += 1;
            for breaker in &self.breakers {
                breaker.record_outcome(&outcome.result, &self.pool.work().cx);
            }
            let Some(waiting) = &mut self.reorder else {
                return Poll::Ready(outcome);
            };
            let place = outcome.index - self.delivered;
            if waiting.len() <= place {
                waiting.resize_with(place + 1, || None);
            }
            waiting[place] = Some(outcome);
        }
    }
}

/// Nothing in it is pinned in place.
impl<S: Step> Unpin for Streaming<S> {}

impl<S: Step> Stream for Streaming<S> {
    type Item = Outcome<S::Out>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let me = &mut *self;
        // Outcomes that are always ready must not starve the rest of the consumer's task.
        let turn = ready!(poll_proceed(task));
        me.courtesy.back();
        if me.delivered >= me.take && matches!(me.ending, Ending::NotYet) {
            me.finish();
        }
        loop {
            match &mut me.ending {
                Ending::NotYet => {}
                Ending::Stopping(alarm) => {
                    if me.pool.poll_ended(task).is_pending() {
                        if me.finished == me.pulled {
                            // Idle workers only: they go at once.
                            return Poll::Pending;
                        }
                        let grace = || Box::pin(sleep_until(Instant::now() + GRACE));
                        ready!(alarm.get_or_insert_with(grace).as_mut().poll(task));
                    }
                    me.ending = Ending::Ended;
                    return Poll::Ready(None);
                }
                Ending::Ended => return Poll::Ready(None),
            }
            let pulled = me.pulled;
            me.admit(task);
            if me.pulled > pulled && me.courtesy.is_due() {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            if me.source.is_none() && me.delivered == me.pulled {
                me.finish();
                continue;
            }
            let finished = me.finished;
            let Poll::Ready(outcome) = me.poll_outcome(task) else {
                if me.finished > finished && me.window > 0 {
                    // Outcomes that wait their turn have made room for others to run.
                    continue;
                }
                return Poll::Pending;
            };
            me.delivered += 1;
            me.courtesy.hand_over();
            turn.made_progress();
            if me.delivered >= me.take || me.until.as_mut().is_some_and(|enough| enough(&outcome)) {
                me.finish();
            }
            return Poll::Ready(Some(outcome));
        }
    }
}
