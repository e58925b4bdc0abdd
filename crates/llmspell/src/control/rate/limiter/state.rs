//! The buckets of a rate, and the calls that wait for them.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::super::bucket::Bucket;
use crate::error::Result;
use crate::runtime::wait_queue::WaitQueue;

pub(super) struct RateState {
    pub(super) requests: Option<Bucket>,
    pub(super) tokens: Option<Bucket>,
    pub(super) queue: WaitQueue<RateRequest, Result<Admission>>,
    /// The tokens that the waiters request.
    pub(super) queued_tokens: u64,
    /// The tokens that all calls have requested which have ever waited.
    total_requested: u64,
}

/// The request of a waiter.
#[derive(Clone, Copy)]
pub(super) struct RateRequest {
    pub(super) tokens: u64,
    pub(super) deadline: Option<Instant>,
    /// The tokens that all earlier waiters requested.
    pub(super) requested_before: u64,
    /// When the waiter polls by itself.
    pub(super) polls_at: Instant,
}

/// The permission for one call to start.
#[derive(Clone, Copy, Debug)]
pub(in crate::control::rate) struct Admission {
    /// The tokens that were taken for the call.
    pub(in crate::control::rate) tokens: u64,
    /// The number of pauses when it was granted. A later pause revokes it.
    pub(in crate::control::rate) pauses: u64,
    pub(in crate::control::rate) waited: bool,
}

impl RateState {
    pub(super) fn new(requests: Option<Bucket>, tokens: Option<Bucket>) -> Self {
        RateState { requests, tokens, queue: WaitQueue::default(), queued_tokens: 0, total_requested: 0 }
    }

    pub(super) fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.requests.iter_mut().chain(&mut self.tokens)
    }

    /// Returns when a call of `tokens` may start, after the calls and tokens ahead of it.
    pub(super) fn due(&mut self, now: Instant, tokens: u64, (calls_ahead, tokens_ahead): (u64, u64)) -> Instant {
        self.buckets().for_each(|bucket| bucket.fill(now));
        let requests = self.requests.as_ref().map(|bucket| bucket.due(1, calls_ahead));
        let tokens = self.tokens.as_ref().map(|bucket| bucket.due(tokens, tokens_ahead));
        requests.max(tokens).unwrap_or(now)
    }

    pub(super) fn take(&mut self, tokens: u64) {
        self.requests.iter_mut().for_each(|bucket| bucket.take(1));
        self.tokens.iter_mut().for_each(|bucket| bucket.take(tokens));
    }

    /// Adds a waiter, and returns its number. Its waker is stored when it is first polled.
    pub(super) fn enqueue(&mut self, tokens: u64, deadline: Option<Instant>, polls_at: Instant) -> u64 {
        let requested_before = self.total_requested;
        self.queued_tokens = self.queued_tokens.saturating_add(tokens);
        self.total_requested = requested_before.wrapping_add(tokens);
        let request = RateRequest { tokens, deadline, requested_before, polls_at };
        self.queue.push(Waker::noop().clone(), request)
    }

    /// Ends the wait of one waiter with a result, and returns its waker.
    pub(super) fn complete(&mut self, number: u64, result: Result<Admission>) -> Option<Waker> {
        let waiter = self.queue.complete(number, result)?;
        self.queued_tokens = self.queued_tokens.saturating_sub(waiter.request.tokens);
        Some(waiter.waker)
    }

    /// Returns until when no call starts, whatever the buckets hold.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        let buckets = [&self.requests, &self.tokens];
        buckets.into_iter().flatten().map(Bucket::filled_until).max()
    }

    /// Returns the rest of a pause.
    pub(super) fn pause_left(&self, now: Instant) -> Duration {
        self.paused_until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}
