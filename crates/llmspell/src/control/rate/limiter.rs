//! The rate limiter: decides whether a call may start now, must wait, or cannot meet its deadline.
//!
//! Waiters are served in order, by the task that finds that the first of them is due: a new call, a call that gives
//! something back, or a waiter whose own time has come. Every waiter computes its own due time from the requests ahead
//! of it, and polls then. So no call overtakes another, no herd wakes up, and a waiter that is not polled does not
//! block the queue.
//!
//! Due times change while calls wait. A waiter whose time has become later finds out when it polls, and computes it
//! anew. A waiter whose time has become earlier, because a call has left or has given something back, is woken once it
//! is the first.

mod adjust;
#[cfg(all(test, shuttle))]
mod schedules;
mod state;

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use super::settings::RateSettings;
use crate::context::Context;
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::WaitKind;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::timing::yield_if_due;
use crate::runtime::wait_queue::{Admit, QueueOwner, Removed, WaiterPoll, Waiting, WakeList};
pub(super) use state::Admission;
use state::{RateRequest, RateState};

/// The shared state of the clones of a rate.
pub(super) struct RateLimiter {
    state: Mutex<RateState>,
    /// Counts the pauses. Changed under the lock.
    pauses: AtomicU64,
    max_pause: Duration,
}

impl RateLimiter {
    pub(super) fn new(settings: &RateSettings) -> Self {
        let (requests, tokens) = settings.buckets();
        let state = Mutex::new(RateState::new(requests, tokens));
        RateLimiter { state, pauses: AtomicU64::new(0), max_pause: settings.max_pause }
    }

    fn lock(&self) -> MutexGuard<'_, RateState> {
        lock(&self.state)
    }

    /// Locks the state and then reads the clock. Read before the lock, the time could be earlier than one at which
    /// another task has already filled the buckets, and what is there then would seem to come only in the future.
    fn lock_now(&self) -> (MutexGuard<'_, RateState>, Instant) {
        let state = self.lock();
        (state, Instant::now())
    }

    /// Returns how many pauses have begun.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Acquire)
    }

    /// Waits until a call may start, and takes its request and its tokens. `name` is that of the step, if the call
    /// begins before the name is in the path.
    pub(super) async fn acquire(&self, tokens: u64, cx: &Context, name: Option<&str>) -> Result<Admission> {
        yield_if_due().await;
        let result = match self.try_acquire(tokens, cx.deadline()) {
            Ok(Admit::Admitted(admission)) => return Ok(admission),
            // Boxed, so that calls which do not wait do not carry the state of a wait. Without a deadline: the queue
            // itself rejects a call that cannot meet its own.
            Ok(Admit::Queued(waiting)) => Box::pin(cx.admit(WaitKind::Rate, name, None, waiting.result())).await,
            Err(error) => {
                cx.rejected(WaitKind::Rate, name, &error);
                Err(error)
            }
        };
        result.map_err(|error| error.at(|| cx.path()))
    }

    fn try_acquire(&self, tokens: u64, deadline: Option<Instant>) -> Result<Admit<'_, Self, Admission>> {
        let (mut state, now) = self.lock_now();
        if state.queue.is_empty() && state.due(now, tokens, (0, 0)) <= now {
            state.take(tokens);
            return Ok(Admit::Admitted(Admission { tokens, pauses: self.pauses(), waited: false }));
        }
        self.serve_and_enqueue(state, now, tokens, deadline)
    }

    /// Serves the waiters, and joins the end of the queue if there still is one.
    #[cold]
    fn serve_and_enqueue(
        &self,
        mut state: MutexGuard<'_, RateState>,
        now: Instant,
        tokens: u64,
        deadline: Option<Instant>,
    ) -> Result<Admit<'_, Self, Admission>> {
        let mut wake_list = WakeList::default();
        self.serve(&mut state, now, None, &mut wake_list);
        let entry = self.admit_or_enqueue(&mut state, now, tokens, deadline);
        drop(state);
        wake_list.wake();
        entry
    }

    fn admit_or_enqueue(
        &self,
        state: &mut RateState,
        now: Instant,
        tokens: u64,
        deadline: Option<Instant>,
    ) -> Result<Admit<'_, Self, Admission>> {
        let ahead = (state.queue.len() as u64, state.queued_tokens);
        let due = state.due(now, tokens, ahead);
        if ahead.0 == 0 && due <= now {
            state.take(tokens);
            return Ok(Admit::Admitted(Admission { tokens, pauses: self.pauses(), waited: false }));
        }
        self.check(state, now, due, deadline)?;
        let number = state.enqueue(tokens, deadline, due);
        Ok(Admit::Queued(Waiting::new(self, number)))
    }

    /// Admits every waiter that is due, in order. `own` is the number of the calling task, if it waits. If others are
    /// served before it, the calling task is woken like them, so that they start first. Returns whether it is.
    fn serve(&self, state: &mut RateState, now: Instant, own: Option<u64>, wake_list: &mut WakeList) -> bool {
        let mut own_is_woken = false;
        while let Some((number, first)) = state.queue.first() {
            let tokens = first.request.tokens;
            let due = state.due(now, tokens, (0, 0));
            if due > now {
                if let Some((_, first)) = state.queue.first()
                    && due < first.request.polls_at
                    && own != Some(number)
                {
                    // It expects to start later, and must compute its time anew.
                    first.request.polls_at = due;
                    wake_list.extend([first.waker.clone()]);
                }
                return own_is_woken;
            }
            state.take(tokens);
            let admission = Admission { tokens, pauses: self.pauses(), waited: true };
            let waker = state.complete(number, Ok(admission));
            if own != Some(number) {
                wake_list.extend(waker);
            } else if wake_list.is_empty() {
                wake_list.drop_later(waker);
            } else {
                wake_list.extend(waker);
                own_is_woken = true;
            }
        }
        own_is_woken
    }

    /// Returns when a waiter will be admitted.
    ///
    /// # Errors
    /// If it cannot be admitted in time.
    fn expected_due(&self, state: &mut RateState, now: Instant, number: u64) -> Result<Instant> {
        let Some((first, head)) = state.queue.first() else { return Ok(now) };
        let (first_tokens, first_requested_before) = (head.request.tokens, head.request.requested_before);
        let Some(waiter) = state.queue.get(number) else { return Ok(now) };
        let RateRequest { tokens, deadline, requested_before, .. } = waiter.request;
        // As if no waiter had left between the first and this one. That needs no count, and the waiter is woken if it
        // is wrong.
        let ahead = (number - first, requested_before.wrapping_sub(first_requested_before));
        let earliest = state.due(now, first_tokens, (0, 0));
        let mut due = state.due(now, tokens, ahead).max(earliest);
        if deadline.is_some_and(|deadline| due >= deadline) {
            let ahead = state
                .queue
                .ahead_of(number)
                .fold((0, 0), |(calls, sum): (u64, u64), request| (calls + 1, sum.saturating_add(request.tokens)));
            due = state.due(now, tokens, ahead).max(earliest);
        }
        self.check(state, now, due, deadline)?;
        Ok(due)
    }

    /// Rejects a call that is due at `due`, if its deadline is earlier or a pause is too long.
    fn check(&self, state: &RateState, now: Instant, due: Instant, deadline: Option<Instant>) -> Result<()> {
        let pause = state.pause_left(now);
        if pause > self.max_pause {
            let message = format!("the server asked for a pause, {} of which are left", display::duration(pause));
            let hint = "serve a fallback, or wait longer with `RateBuilder::max_pause`";
            return Err(Error::new(ErrorKind::Rejected, message).with_hint(hint).with_retry_after(pause));
        }
        if let Some(deadline) = deadline.filter(|deadline| due >= *deadline && due > now) {
            return Err(misses_deadline(due - now, deadline.saturating_duration_since(now)));
        }
        Ok(())
    }

    /// Removes a waiter that goes away. Its share goes to the next one.
    fn remove(&self, state: &mut RateState, now: Instant, number: u64, wake_list: &mut WakeList) {
        match state.queue.remove(number) {
            Some(Removed::Waiter(waiter)) => {
                state.queued_tokens = state.queued_tokens.saturating_sub(waiter.request.tokens);
                wake_list.drop_later(Some(waiter.waker));
            }
            Some(Removed::Result(Ok(admission))) => self.refund_to(state, now, admission.tokens, admission.pauses),
            Some(Removed::Result(Err(_))) | None => {}
        }
        self.serve(state, now, None, wake_list);
    }

    /// Returns the quota of requests, if they are limited.
    pub(super) fn quota(&self) -> Option<(u64, Duration)> {
        self.lock().requests.as_ref().map(Bucket::quota)
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Returns the rest of the current pause, if there is one.
    pub(super) fn pause_left(&self) -> Option<Duration> {
        let left = self.lock().pause_left(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

impl QueueOwner for RateLimiter {
    type Output = Result<Admission>;

    fn poll_waiter(&self, number: u64, waker: &Waker) -> WaiterPoll<Result<Admission>> {
        let (mut state, now) = self.lock_now();
        if let Some(result) = state.queue.take_result(number) {
            return WaiterPoll::Ready(result);
        }
        let former = state.queue.update_waker(number, waker);
        let mut wake_list = WakeList::default();
        let own_is_woken = self.serve(&mut state, now, Some(number), &mut wake_list);
        let poll = match state.queue.get(number) {
            _ if own_is_woken => WaiterPoll::Pending,
            None => state.queue.take_result(number).map_or(WaiterPoll::Pending, WaiterPoll::Ready),
            Some(_) => match self.expected_due(&mut state, now, number) {
                Ok(due) => {
                    if let Some(waiter) = state.queue.get(number) {
                        waiter.request.polls_at = due;
                    }
                    WaiterPoll::PendingUntil(due)
                }
                Err(error) => {
                    self.remove(&mut state, now, number, &mut wake_list);
                    WaiterPoll::Ready(Err(error))
                }
            },
        };
        drop(state);
        drop(former);
        wake_list.wake();
        poll
    }

    fn abandon(&self, number: u64) {
        let mut wake_list = WakeList::default();
        let (mut state, now) = self.lock_now();
        self.remove(&mut state, now, number, &mut wake_list);
        drop(state);
        wake_list.wake();
    }
}

fn misses_deadline(wait: Duration, left: Duration) -> Error {
    let message = format!(
        "the rate admits no call before the deadline: the next one starts in {}, and {} are left",
        display::duration(wait),
        display::duration(left)
    );
    let hint = "start fewer calls at once, or raise the rate or the deadline";
    Error::new(ErrorKind::Rejected, message).with_hint(hint).with_retry_after(wait)
}
