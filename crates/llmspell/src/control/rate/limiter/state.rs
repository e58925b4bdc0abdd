//! What there is, and who waits for it.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::super::bucket::Bucket;
use crate::error::Result;
use crate::runtime::wait_queue::WaitQueue;

pub(super) struct State {
    pub(super) requests: Option<Bucket>,
    pub(super) tokens: Option<Bucket>,
    pub(super) line: WaitQueue<WaitRequest, Result<Admission>>,
    /// The tokens that those in line want.
    pub(super) wanted: u64,
    /// The tokens that everybody wanted who has ever stood in line.
    pub(super) ever_wanted: u64,
}

/// What one in line waits for.
#[derive(Clone, Copy)]
pub(super) struct WaitRequest {
    pub(super) tokens: u64,
    pub(super) deadline: Option<Instant>,
    /// The tokens that everybody wanted who came before.
    pub(super) before: u64,
    /// When it looks by itself.
    pub(super) looks: Instant,
}

/// A turn that was had.
#[derive(Clone, Copy, Debug)]
pub(in crate::control::rate) struct Admission {
    /// How many pauses there had been.
    pub(in crate::control::rate) pauses: u64,
    pub(in crate::control::rate) waited: bool,
}

impl State {
    pub(super) fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.requests.iter_mut().chain(&mut self.tokens)
    }

    /// When a call may go that wants so many tokens, behind so many others and theirs.
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

    /// Until when nothing goes, whatever there is.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        let buckets = [&self.requests, &self.tokens];
        buckets.into_iter().flatten().map(Bucket::at).max()
    }

    /// How much of a pause is left.
    pub(super) fn pause_left(&self, now: Instant) -> Duration {
        self.paused_until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Tells one in line how it went, and notes that it stands there no more.
    pub(super) fn answer(&mut self, number: u64, answer: Result<Admission>) -> Option<Waker> {
        let (wants, waker) = self.line.answer(number, answer)?;
        self.wanted = self.wanted.saturating_sub(wants.tokens);
        Some(waker)
    }
}
