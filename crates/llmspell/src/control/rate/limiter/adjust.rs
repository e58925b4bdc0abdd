//! Changes of the rate limiter while it works: refunds, further charges, another rate, and pauses.
//!
//! Each change serves the waiters before it releases the lock, and wakes them afterwards.

use std::time::Duration;

use tokio::time::Instant;

use super::super::bucket::Bucket;
use super::RateLimiter;
use super::state::{RateRequest, RateState};
use crate::error::Error;
use crate::observe::rate_limits::RateLimits;
use crate::runtime::sync::MutexGuard;
use crate::runtime::sync::atomic::Ordering;
use crate::runtime::timing::after;
use crate::runtime::wait_queue::WakeList;

impl RateLimiter {
    /// Changes the rate of calls to that of `to`. Returns false if calls are not limited. The first waiter is woken if
    /// it is due earlier now.
    pub(in crate::control::rate) fn set_rate(&self, to: Bucket) -> bool {
        let (mut state, now) = self.lock_now();
        let Some(requests) = &mut state.requests else { return false };
        requests.fill(now);
        *requests = requests.at_rate_of(to);
        self.serve_and_unlock(state, now);
        true
    }

    /// Charges tokens beyond those that were reserved, even if the bucket does not have them.
    pub(in crate::control::rate) fn charge_tokens(&self, tokens: u64) {
        let (mut state, now) = self.lock_now();
        if let Some(bucket) = &mut state.tokens {
            bucket.fill(now);
            bucket.take(tokens);
        }
    }

    /// Refunds tokens that were reserved and not used.
    pub(in crate::control::rate) fn refund_tokens(&self, tokens: u64) {
        let (mut state, now) = self.lock_now();
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.tokens.iter_mut().for_each(|bucket| bucket.refund(tokens));
        self.serve_and_unlock(state, now);
    }

    /// Refunds an admission that was not used: the request, and the tokens that were taken for it. `pauses` is the
    /// number of pauses when it was granted.
    pub(in crate::control::rate) fn refund(&self, tokens: u64, pauses: u64) {
        let (mut state, now) = self.lock_now();
        self.refund_to(&mut state, now, tokens, pauses);
        self.serve_and_unlock(state, now);
    }

    pub(super) fn refund_to(&self, state: &mut RateState, now: Instant, tokens: u64, pauses: u64) {
        state.buckets().for_each(|bucket| bucket.fill(now));
        if pauses == self.pauses() {
            state.requests.iter_mut().for_each(|bucket| bucket.refund(1));
            state.tokens.iter_mut().for_each(|bucket| bucket.refund(tokens));
        } else {
            // A pause leaves enough for one call only. Many such refunds must not add up to a herd.
            state.requests.iter_mut().for_each(|bucket| bucket.refund_up_to(1, 1));
            state.tokens.iter_mut().for_each(|bucket| bucket.refund_up_to(tokens, tokens));
        }
    }

    fn serve_and_unlock(&self, mut state: MutexGuard<'_, RateState>, now: Instant) {
        let mut wake_list = WakeList::default();
        self.serve(&mut state, now, None, &mut wake_list);
        drop(state);
        wake_list.wake();
    }

    /// Follows the remaining quota that the server reports, for a call of `tokens`.
    pub(in crate::control::rate) fn tighten(&self, limits: &RateLimits, tokens: u64) {
        let (mut state, now) = self.lock_now();
        let known = state.paused_until();
        state.buckets().for_each(|bucket| bucket.fill(now));
        if let (Some(bucket), Some(window)) = (&mut state.requests, &limits.requests) {
            bucket.tighten(now, window, 1);
        }
        if let (Some(bucket), Some(window)) = (&mut state.tokens, &limits.tokens) {
            bucket.tighten(now, window, tokens);
        }
        let until = state.paused_until();
        if until > known && until > Some(now) {
            self.start_pause(state, now);
        }
    }

    /// Admits no call for `pause`, and then calls of `tokens` one by one. Returns false if the rate is paused for that
    /// long already.
    pub(in crate::control::rate) fn pause(&self, pause: Duration, tokens: u64) -> bool {
        let (mut state, now) = self.lock_now();
        let until = after(now, pause);
        if until <= now || state.paused_until() >= Some(until) {
            return false;
        }
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.requests.iter_mut().for_each(|bucket| bucket.pause(until, 1));
        state.tokens.iter_mut().for_each(|bucket| bucket.pause(until, tokens));
        self.start_pause(state, now);
        true
    }

    /// Notes that a pause has begun, or has become longer. Admissions that were not used are revoked, and waiters that
    /// cannot be admitted in time any more are rejected now.
    fn start_pause(&self, mut state: MutexGuard<'_, RateState>, now: Instant) {
        self.pauses.fetch_add(1, Ordering::Release);
        let until = after(now, state.pause_left(now));
        let rejection = |request: &RateRequest| self.check(&state, now, until, request.deadline).err();
        let rejected: Vec<(u64, Error)> =
            state.queue.iter().filter_map(|(number, request)| Some((number, rejection(request)?))).collect();
        let mut wake_list = WakeList::default();
        for (number, error) in rejected {
            wake_list.extend(state.complete(number, Err(error)));
        }
        // The new first waiter may expect to start much later, because of the requests of those just rejected.
        self.serve(&mut state, now, None, &mut wake_list);
        drop(state);
        wake_list.wake();
    }
}
