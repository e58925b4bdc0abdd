//! The settings of a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::stragglers::{Stragglers, TailTracker, WithStragglers};
use super::{LimitHandle, Streaming};
use crate::context::AdmissionGate;
use crate::control::breaker::Breaker;
use crate::control::budget::{Budget, StreamBudget};
use crate::observe::outcome::Outcome;
use crate::runtime::executor::WorkerPool;
use crate::step::Step;

impl<S: Step> Streaming<S> {
    /// Keeps at most `items` in flight.
    ///
    /// The default is 16, or the number that keeps a [pipeline](crate::pattern::pipeline) or an [adaptive
    /// limit](crate::control::Adaptive) busy.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn limit(mut self, items: usize) -> Self {
        self.limit.set(items);
        self
    }

    /// Returns a handle that changes the limit while the stream runs.
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
    ///         limit.resize(64); // the first hundred succeeded
    ///     }
    /// }
    /// assert_eq!(limit.items(), 64);
    /// # });
    /// ```
    pub fn limit_handle(&mut self) -> LimitHandle {
        self.limit.handle()
    }

    /// Delivers outcomes in the order of their inputs.
    ///
    /// While the first one is slow, finished outcomes wait and count against the limit, unless there is a
    /// [window](Streaming::window).
    pub fn ordered(mut self) -> Self {
        self.reorder.get_or_insert_default();
        self
    }

    /// Lets up to `outcomes` beyond the limit wait for an earlier one, so that a slow item does not block
    /// admission.
    ///
    /// The default is 0. Implies [`Streaming::ordered`].
    pub fn window(mut self, outcomes: usize) -> Self {
        self.window = outcomes;
        self.ordered()
    }

    /// Ends after `outcomes`, failures included, and cancels the items in flight.
    pub fn take(mut self, outcomes: usize) -> Self {
        self.take = outcomes;
        self
    }

    /// Takes no more inputs once `stop` completes, and ends when the items in flight have finished.
    ///
    /// Items in flight run to their end, with their waits and retries. To cancel them as well, cancel the
    /// [context](crate::Context::cancellable).
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
    /// assert_eq!(count, 4); // two after one second, and the two that had started by then
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

    /// Ends after the first outcome for which `enough` holds, that one included, and cancels the items in
    /// flight.
    pub fn until(mut self, enough: impl FnMut(&Outcome<S::Out>) -> bool + Send + 'static) -> Self {
        self.until = Some(Box::new(enough));
        self
    }

    /// Starts a second copy of the last items of the stream if they are slow; the first copy to succeed wins.
    ///
    /// The outcome of an item whose second copy won says so with
    /// [`ServedBy::Straggler`](crate::observe::ServedBy::Straggler).
    ///
    /// The limit of the stream counts items and not their copies; to bound the calls, limit the step. The end
    /// of the source is known once it is polled for one more item, or earlier if it knows its length. A copy
    /// runs in the task of its item: if the step computes without yielding, use [`Step::spawned`].
    ///
    /// ```
    /// use llmspell::{Context, Step, step};
    /// use llmspell::pattern::stream::Stragglers;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let fetch = step(|page: u32, _| async move { Ok(page) }).idempotent();
    /// let pages = fetch.stream(0..100, &Context::new()).stragglers(Stragglers::last(3).slower_than(2.0));
    /// assert_eq!(pages.try_collect().await?.len(), 100);
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If the step is not declared [idempotent](Step::idempotent), because an item can run twice; or if the
    /// stream has already been polled.
    pub fn stragglers(self, policy: Stragglers) -> Streaming<WithStragglers<S>>
    where
        S::In: Clone,
    {
        assert!(self.pulled == 0, "stragglers must be set before the first poll");
        let (items, tail) = (self.pool.work(), Arc::new(TailTracker::new(policy)));
        let step = Arc::new(WithStragglers::new(items.step.clone(), tail.clone()));
        Streaming {
            pool: WorkerPool::new(items.cx.pool_guards(), items.with(step)),
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
            consumer_yield: self.consumer_yield,
            take: self.take,
            until: self.until,
            phase: self.phase,
        }
    }

    /// Stops pulling from the source once the breaker opens, and delivers the items in flight;
    /// [`Streaming::stopped`] then returns the reason. The breaker records every outcome: if the item was
    /// retried, its last error.
    ///
    /// Do not use a breaker that is also [around the step](Step::breaker): it would count each call twice,
    /// there and as the outcome of its item.
    ///
    /// With [`Breaker::on_denied`], a run of a million records ends when credentials or money are missing, not
    /// after a million failures. A stopped stream does not continue when the breaker half-opens; to reject
    /// calls temporarily, put a breaker around the step.
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
        self.with_gate(Arc::new(breaker))
    }

    /// Pulls inputs only while `budget` covers another item: the expected usage of an item is reserved before
    /// its input is pulled.
    ///
    /// Then the stream pulls no more, delivers the items in flight, ends, and returns the
    /// [reason](Streaming::stopped). No input that was pulled is rejected.
    ///
    /// To cap single calls inside the items, see [`Step::budget`].
    pub fn budget(mut self, budget: Budget) -> Self {
        let items = self.pool.work();
        match budget.for_stream(&items.cx) {
            StreamBudget::Unlimited => self,
            StreamBudget::Gate(gate) => self.with_gate(gate),
            StreamBudget::PerItem(reservations) => {
                items.add_reservations(reservations.clone());
                self.gates.add_reservations(reservations);
                self
            }
        }
    }

    /// Pulls inputs only while `gate` is open.
    pub(crate) fn with_gate(mut self, gate: Arc<dyn AdmissionGate>) -> Self {
        self.gates.add(gate);
        self
    }
}
