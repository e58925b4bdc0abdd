//! The line before the buckets: who goes, who waits, and who has no chance in time.
//!
//! Only the first in line watches the clock; the others wait for their turn to be the first. So nobody
//! overtakes, a settlement wakes one waiter and not all of them, and whoever leaves, at whatever moment, makes
//! room for the next by leaving.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Mutex as FairMutex, MutexGuard as Turn, Notify};
use tokio::time::Instant;

use super::RateLimits;
use super::bucket::Bucket;
use super::config::Config;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::event::{Fact, Queue, RefusedBy};
use crate::executor::{after, breathe, within};
use crate::human;

/// What the clones of a rate share.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    /// Held by the first in line.
    turn: FairMutex<()>,
    /// Something was given back: the first in line may go earlier.
    given: Notify,
    /// A pause began: whoever waits may have no chance any more.
    paused: Notify,
    longest_pause: Duration,
}

#[derive(Debug)]
struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// Calls in line, and the tokens they want.
    waiting: u64,
    waiting_tokens: u64,
    paused_until: Option<Instant>,
}

impl State {
    fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.requests.iter_mut().chain(&mut self.tokens)
    }

    /// When a call may go that wants so many tokens, behind so many others and theirs.
    fn due(&mut self, now: Instant, tokens: u64, (calls_ahead, tokens_ahead): (u64, u64)) -> Instant {
        self.buckets().for_each(|bucket| bucket.fill(now));
        let requests = self.requests.as_ref().map(|bucket| bucket.due(1, calls_ahead));
        let tokens = self.tokens.as_ref().map(|bucket| bucket.due(tokens, tokens_ahead));
        requests.max(tokens).unwrap_or(now)
    }

    fn take(&mut self, tokens: u64) {
        self.requests.iter_mut().for_each(|bucket| bucket.take(1));
        self.tokens.iter_mut().for_each(|bucket| bucket.take(tokens));
    }

    /// How much of a pause is left.
    fn pause_left(&self, now: Instant) -> Duration {
        self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

impl Line {
    pub(super) fn new(config: &Config) -> Self {
        let (requests, tokens) = config.buckets();
        let state = State { requests, tokens, waiting: 0, waiting_tokens: 0, paused_until: None };
        Line {
            state: Mutex::new(state),
            turn: FairMutex::new(()),
            given: Notify::new(),
            paused: Notify::new(),
            longest_pause: config.longest_pause,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may go, and takes its request and its tokens. If the call begins before its name is
    /// in the path, `name` says who it is.
    pub(super) async fn enter(&self, tokens: u64, cx: &Context, name: Option<&str>) -> Result<()> {
        breathe().await;
        let step = || name.map(|name| cx.path().join(name));
        let place = match self.try_enter(tokens, cx.deadline()) {
            Ok(None) => return Ok(()),
            Ok(Some(place)) => place,
            Err(error) => {
                cx.fact(|| Fact::Refused { step: step(), by: RefusedBy::Rate, error: (&error).into() });
                return Err(error.at(|| cx.path()));
            }
        };
        let since = Instant::now();
        cx.fact(|| Fact::Queued { step: step(), queue: Queue::Rate });
        // Boxed, so that calls which need not wait do not carry what it takes to.
        let entered = Box::pin(self.wait_in_time(place, cx.deadline())).await;
        match &entered {
            Ok(()) => {
                cx.fact(|| Fact::Admitted { step: step(), queue: Queue::Rate, waited: since.elapsed() });
            }
            Err(error) => cx.fact(|| Fact::Refused { step: step(), by: RefusedBy::Rate, error: error.into() }),
        }
        entered.map_err(|error| error.at(|| cx.path()))
    }

    /// `None` if the call may go at once, or else its place in line.
    fn try_enter(&self, tokens: u64, deadline: Option<Instant>) -> Result<Option<Place<'_>>> {
        let now = Instant::now();
        let mut state = self.lock();
        let ahead = (state.waiting, state.waiting_tokens);
        let due = state.due(now, tokens, ahead);
        if state.waiting == 0 && due <= now {
            state.take(tokens);
            return Ok(None);
        }
        self.check(&state, now, due, deadline)?;
        state.waiting += 1;
        state.waiting_tokens = state.waiting_tokens.saturating_add(tokens);
        Ok(Some(Place { line: self, tokens }))
    }

    /// Waits, but not beyond the deadline: a turn that was to come in time is put off by calls that use more
    /// than was expected.
    async fn wait_in_time(&self, place: Place<'_>, deadline: Option<Instant>) -> Result<()> {
        let tokens = place.tokens;
        let wait = self.wait(place, deadline);
        let Some(end) = deadline else { return wait.await };
        match within(end, wait).await {
            Some(entered) => entered,
            None => {
                let now = Instant::now();
                let due = self.lock().due(now, tokens, (0, 0));
                Err(too_late(due.saturating_duration_since(now), Duration::ZERO))
            }
        }
    }

    async fn wait(&self, place: Place<'_>, deadline: Option<Instant>) -> Result<()> {
        let _turn = self.first_in_line(deadline).await?;
        loop {
            // Registered before the buckets are looked at, so that nothing is missed.
            let mut given = pin!(self.given.notified());
            given.as_mut().enable();
            let due = {
                let now = Instant::now();
                let mut state = self.lock();
                let due = state.due(now, place.tokens, (0, 0));
                if due <= now {
                    state.take(place.tokens);
                    place.leave(&mut state);
                    return Ok(());
                }
                self.check(&state, now, due, deadline)?;
                due
            };
            within(due, given).await;
        }
    }

    /// Waits behind those who came before; gives up if a pause leaves no chance.
    async fn first_in_line(&self, deadline: Option<Instant>) -> Result<Turn<'_, ()>> {
        let mut turn = pin!(self.turn.lock());
        loop {
            let mut paused = pin!(self.paused.notified());
            paused.as_mut().enable();
            {
                let now = Instant::now();
                let state = self.lock();
                self.check(&state, now, after(now, state.pause_left(now)), deadline)?;
            }
            let first = poll_fn(|task| match turn.as_mut().poll(task) {
                Poll::Ready(turn) => Poll::Ready(Some(turn)),
                Poll::Pending => paused.as_mut().poll(task).map(|()| None),
            })
            .await;
            if let Some(turn) = first {
                return Ok(turn);
            }
        }
    }

    /// Fails if a call that is due at `due` has no chance: no time, or not the patience.
    fn check(&self, state: &State, now: Instant, due: Instant, deadline: Option<Instant>) -> Result<()> {
        let pause = state.pause_left(now);
        if pause > self.longest_pause {
            let message = format!("the server asked for a pause, {} of which are left", human::duration(pause));
            let hint = "serve a fallback, or wait longer with `Rate::max_pause`";
            return Err(Error::new(Kind::Rejected, message).with_hint(hint).with_retry_after(pause));
        }
        if let Some(deadline) = deadline.filter(|deadline| due >= *deadline && due > now) {
            return Err(too_late(due - now, deadline.saturating_duration_since(now)));
        }
        Ok(())
    }

    /// Takes more tokens than were reserved, whether there are any or not.
    pub(super) fn take_more(&self, tokens: u64) {
        let now = Instant::now();
        if let Some(bucket) = &mut self.lock().tokens {
            bucket.fill(now);
            bucket.take(tokens);
        }
    }

    /// Gives back what was reserved and not used.
    pub(super) fn give(&self, requests: u64, tokens: u64) {
        let now = Instant::now();
        let mut state = self.lock();
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.requests.iter_mut().for_each(|bucket| bucket.give(requests));
        state.tokens.iter_mut().for_each(|bucket| bucket.give(tokens));
        drop(state);
        self.given.notify_waiters();
    }

    /// Takes over what the server says it has left, for a call of `tokens`.
    pub(super) fn tighten(&self, limits: &RateLimits, tokens: u64) {
        let now = Instant::now();
        let mut state = self.lock();
        state.buckets().for_each(|bucket| bucket.fill(now));
        if let (Some(bucket), Some(window)) = (&mut state.requests, &limits.requests) {
            bucket.tighten(now, window, 1);
        }
        if let (Some(bucket), Some(window)) = (&mut state.tokens, &limits.tokens) {
            bucket.tighten(now, window, tokens);
        }
    }

    /// Lets nobody go for `pause`, and then calls of some `tokens` one by one. False if it is paused for that
    /// long already.
    pub(super) fn pause(&self, pause: Duration, tokens: u64) -> bool {
        let now = Instant::now();
        let until = after(now, pause);
        let mut state = self.lock();
        if until <= now || state.paused_until.is_some_and(|known| known >= until) {
            return false;
        }
        state.paused_until = Some(until);
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.requests.iter_mut().for_each(|bucket| bucket.pause(until, 1));
        state.tokens.iter_mut().for_each(|bucket| bucket.pause(until, tokens));
        drop(state);
        self.paused.notify_waiters();
        self.given.notify_waiters();
        true
    }

    pub(super) fn waiting(&self) -> u64 {
        self.lock().waiting
    }

    pub(super) fn paused(&self) -> Option<Duration> {
        let left = self.lock().pause_left(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

fn too_late(wait: Duration, left: Duration) -> Error {
    let message = format!(
        "the rate leaves no turn before the deadline: the next one is in {}, and {} are left",
        human::duration(wait),
        human::duration(left)
    );
    let hint = "start fewer calls at once, or raise the rate or the deadline";
    Error::new(Kind::Rejected, message).with_hint(hint).with_retry_after(wait)
}

/// A place in line. Dropping it gives it up.
struct Place<'a> {
    line: &'a Line,
    tokens: u64,
}

impl Place<'_> {
    /// Gives the place up because the call goes.
    fn leave(self, state: &mut State) {
        state.waiting -= 1;
        state.waiting_tokens = state.waiting_tokens.saturating_sub(self.tokens);
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.waiting -= 1;
        state.waiting_tokens = state.waiting_tokens.saturating_sub(self.tokens);
    }
}
