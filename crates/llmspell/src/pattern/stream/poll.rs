//! The poll loop of a stream: admission, reordering, delivery and shutdown.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use futures_core::Stream;
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, sleep_until};

use super::source::Source;
use super::{StreamPhase, Streaming};
use crate::observe::event::EventKind;
use crate::observe::outcome::Outcome;
use crate::runtime::executor::GRACE;
use crate::step::Step;

/// The number of admitted items that cost as much of the consumer's cooperative budget as one outcome. A stream
/// with a large limit therefore yields while it starts.
const ADMISSIONS_PER_YIELD: usize = 8;

impl<S: Step> Streaming<S> {
    fn record_stopped(&self) {
        if let Some(error) = self.gates.reason() {
            self.pool.work().cx.record_event(|| EventKind::StreamStopped { error: error.into() });
        }
    }

    /// Drops everything that is left: the items in flight, the waiting outcomes, and the source.
    pub(super) fn finish(&mut self) {
        self.source = None;
        self.reorder = self.reorder.take().map(|_| VecDeque::new());
        self.pool.abort();
        if matches!(self.phase, StreamPhase::Running) {
            self.phase = StreamPhase::Stopping(None);
        }
    }

    /// Pulls as many items as the bounds allow and submits them to the worker pool.
    fn admit(&mut self, task: &mut task::Context<'_>) {
        if let Some(cancelled) = &mut self.cancelled
            && cancelled.as_mut().poll(task).is_ready()
        {
            self.cancelled = None;
            self.source = None;
            // Items in flight get no second copy any more.
            self.tail = None;
        }
        while self.admit_one(task) {}
        self.gates.leave();
        if !self.admitted.is_empty() {
            self.pool.submit(&mut self.admitted);
        }
        // A source may know that it has ended before the bounds allow another pull.
        let is_over = |source: &Source<S::In>| source.size_hint().1 == Some(0);
        if let Some(tail) = self.tail.take_if(|_| self.source.as_ref().is_none_or(is_over)) {
            tail.source_ended(self.pulled);
        }
    }

    /// Pulls one item. Returns false if the source, a bound or a gate allows no further one for now.
    #[inline]
    fn admit_one(&mut self, task: &mut task::Context<'_>) -> bool {
        if self.source.is_none() {
            return false;
        }
        let (running, undelivered) = (self.pulled - self.finished, self.pulled - self.delivered);
        let is_full = |limit: usize| running >= limit || undelivered >= limit.saturating_add(self.window);
        if self.limit.is_reached(task.waker(), is_full) {
            return false;
        }
        // In order, no outcome behind the last one wanted is ever delivered.
        if self.reorder.is_some() && self.pulled >= self.take {
            self.source = None;
            return false;
        }
        if self.admitted.len() % ADMISSIONS_PER_YIELD == ADMISSIONS_PER_YIELD - 1 {
            match poll_proceed(task) {
                Poll::Ready(budget) => budget.made_progress(),
                Poll::Pending => return false,
            }
        }
        match self.gates.poll_open(task) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => {
                self.source = None;
                self.record_stopped();
                return false;
            }
            Poll::Pending => return false,
        }
        let Some(source) = &mut self.source else { return false };
        match source.as_mut().poll_next(task) {
            Poll::Ready(Some(input)) => {
                self.gates.enter();
                self.admitted.push_back((self.pulled, input));
                self.pulled += 1;
                true
            }
            Poll::Ready(None) => {
                self.source = None;
                false
            }
            Poll::Pending => false,
        }
    }

    /// Polls for the next outcome to deliver.
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
            let slot = outcome.index - self.delivered;
            if waiting.len() <= slot {
                waiting.resize_with(slot + 1, || None);
            }
            waiting[slot] = Some(outcome);
        }
    }

    /// Waits until everything that was started has ended, at most for the grace period.
    fn poll_stopped(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        if let StreamPhase::Stopping(timer) = &mut self.phase {
            if self.pool.poll_ended(task).is_pending() {
                if self.finished == self.pulled {
                    // Only idle workers are left: they end at once.
                    return Poll::Pending;
                }
                let grace = || Box::pin(sleep_until(Instant::now() + GRACE));
                ready!(timer.get_or_insert_with(grace).as_mut().poll(task));
            }
            self.phase = StreamPhase::Ended;
        }
        Poll::Ready(())
    }
}

impl<S: Step> Stream for Streaming<S> {
    type Item = Outcome<S::Out>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let me = &mut *self;
        // Outcomes that are always ready must not starve the rest of the consumer's task.
        let budget = ready!(poll_proceed(task));
        me.consumer_yield.on_return();
        if me.delivered >= me.take && matches!(me.phase, StreamPhase::Running) {
            me.finish();
        }
        loop {
            if !matches!(me.phase, StreamPhase::Running) {
                return me.poll_stopped(task).map(|()| None);
            }
            let pulled = me.pulled;
            me.admit(task);
            if me.pulled > pulled && me.consumer_yield.is_due() {
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
                    // Outcomes that wait for an earlier one have made room for further items.
                    continue;
                }
                return Poll::Pending;
            };
            me.delivered += 1;
            me.consumer_yield.on_outcome();
            budget.made_progress();
            if me.delivered >= me.take || me.until.as_mut().is_some_and(|enough| enough(&outcome)) {
                me.finish();
            }
            return Poll::Ready(Some(outcome));
        }
    }
}
