//! Who goes, who waits, and who has no chance in time.
//!
//! Turns are given, in order, by whoever finds that the first in line is due: a call that comes by or gives
//! something back, or one in line whose own time has come. Each of them expects its turn at a time of its own, by
//! what those ahead of it want, and looks then. So nobody overtakes, no herd wakes up, and a call that is not polled
//! any more, though it stands in line, holds up nobody.
//!
//! The times change while calls wait. What goes later finds out when it looks, and expects its turn anew. What goes
//! earlier, because somebody has left or has given something back, is told once it is the first.

#[cfg(all(test, shuttle))]
mod schedules;
mod state;
mod wait_slot;

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::RateLimits;
use super::bucket::Bucket;
use super::config::Config;
use crate::context::Context;
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::{EventKind, RejectedBy, WaitKind};
use crate::runtime::executor::{after, yield_if_due};
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::wait_queue::{Removed, WaitQueue, WakeList};
pub(super) use state::Admission;
use state::{State, WaitRequest};
use wait_slot::{Admit, PollResult, WaitSlot};

/// What the clones of a rate share.
pub(super) struct RateLimiter {
    state: Mutex<State>,
    /// Counts the pauses. Changed under the lock.
    pauses: AtomicU64,
    longest_pause: Duration,
}

impl RateLimiter {
    pub(super) fn new(config: &Config) -> Self {
        let (requests, tokens) = config.buckets();
        let state = State { requests, tokens, line: WaitQueue::default(), wanted: 0, ever_wanted: 0 };
        RateLimiter { state: Mutex::new(state), pauses: AtomicU64::new(0), longest_pause: config.longest_pause }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// With the time, which is read under the lock: read before, it may be one at which somebody else has looked later
    /// already, and what is there then seems to come only in the future.
    fn lock_now(&self) -> (MutexGuard<'_, State>, Instant) {
        let state = self.lock();
        (state, Instant::now())
    }

    /// How many pauses have begun.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Acquire)
    }

    /// Waits until a call may go, and takes its request and its tokens. If the call begins before its name is
    /// in the path, `name` says who it is.
    pub(super) async fn enter(&self, tokens: u64, cx: &Context, name: Option<&str>) -> Result<Admission> {
        yield_if_due().await;
        let step = || name.map(|name| cx.path().join(name));
        let place = match self.try_enter(tokens, cx.deadline()) {
            Ok(Admit::Admitted(admission)) => return Ok(admission),
            Ok(Admit::InLine(place)) => place,
            Err(error) => {
                cx.record_event(|| EventKind::Refused { step: step(), by: RejectedBy::Rate, error: (&error).into() });
                return Err(error.at(|| cx.path()));
            }
        };
        let since = Instant::now();
        cx.record_event(|| EventKind::Queued { step: step(), queue: WaitKind::Rate });
        // Boxed, so that calls which need not wait do not carry what it takes to. Of a deadline the place itself
        // takes care: it is not kept if it is for nothing.
        let entered = Box::pin(cx.wait_or_cancelled(None, place.turn())).await.and_then(|turn| turn);
        match &entered {
            Ok(_) => {
                cx.record_event(|| EventKind::Admitted { step: step(), queue: WaitKind::Rate, waited: since.elapsed() })
            }
            Err(error) => {
                cx.record_event(|| EventKind::Refused { step: step(), by: RejectedBy::Rate, error: error.into() })
            }
        }
        entered.map_err(|error| error.at(|| cx.path()))
    }

    fn try_enter(&self, tokens: u64, deadline: Option<Instant>) -> Result<Admit<'_>> {
        let (mut state, now) = self.lock_now();
        if state.line.line().is_empty() && state.due(now, tokens, (0, 0)) <= now {
            state.take(tokens);
            return Ok(Admit::Admitted(Admission { pauses: self.pauses(), waited: false }));
        }
        self.line_up(state, now, tokens, deadline)
    }

    /// Serves those in line, and goes to its end if there still is one.
    #[cold]
    fn line_up(
        &self,
        mut state: MutexGuard<'_, State>,
        now: Instant,
        tokens: u64,
        deadline: Option<Instant>,
    ) -> Result<Admit<'_>> {
        let mut called = WakeList::default();
        self.serve(&mut state, now, None, &mut called);
        let entry = self.admit(&mut state, now, tokens, deadline);
        drop(state);
        called.wake();
        entry
    }

    fn admit(&self, state: &mut State, now: Instant, tokens: u64, deadline: Option<Instant>) -> Result<Admit<'_>> {
        let ahead = (state.line.line().len() as u64, state.wanted);
        let due = state.due(now, tokens, ahead);
        if ahead.0 == 0 && due <= now {
            state.take(tokens);
            return Ok(Admit::Admitted(Admission { pauses: self.pauses(), waited: false }));
        }
        self.check(state, now, due, deadline)?;
        let before = state.ever_wanted;
        state.wanted = state.wanted.saturating_add(tokens);
        state.ever_wanted = before.wrapping_add(tokens);
        let wants = WaitRequest { tokens, deadline, before, looks: due };
        let number = state.line.line_mut().join(Waker::noop().clone(), wants);
        Ok(Admit::InLine(WaitSlot { door: self, number: Some(number), tokens }))
    }

    /// Gives everybody a turn who is due, in order. `own` is the number of whoever calls, if it stands in line; it is
    /// called, as they are, if others stood before it, so that they begin first: true if it was.
    fn serve(&self, state: &mut State, now: Instant, own: Option<u64>, called: &mut WakeList) -> bool {
        let mut is_called = false;
        while let Some((number, first)) = state.line.line_mut().first() {
            let tokens = first.wants.tokens;
            let due = state.due(now, tokens, (0, 0));
            if due > now {
                if let Some((_, first)) = state.line.line_mut().first()
                    && due < first.wants.looks
                    && own != Some(number)
                {
                    // It expects to go later, and must look at the clock anew.
                    first.wants.looks = due;
                    called.extend([first.waker.clone()]);
                }
                return is_called;
            }
            state.take(tokens);
            let admission = Admission { pauses: self.pauses(), waited: true };
            let waker = state.answer(number, Ok(admission));
            if own != Some(number) {
                called.extend(waker);
            } else if called.is_empty() {
                called.drop_later(waker);
            } else {
                called.extend(waker);
                is_called = true;
            }
        }
        is_called
    }

    /// What one in line learns when it looks: how it went, or when it is to look again.
    fn look(&self, number: u64, tokens: u64, waker: &Waker) -> PollResult {
        let (mut state, now) = self.lock_now();
        if let Some(answer) = state.line.fetch(number) {
            return PollResult::Answer(answer);
        }
        let former = state.line.line_mut().update(number, waker);
        let mut called = WakeList::default();
        let is_called = self.serve(&mut state, now, Some(number), &mut called);
        let look = match state.line.line_mut().get(number) {
            _ if is_called => PollResult::Called,
            None => state.line.fetch(number).map_or(PollResult::Called, PollResult::Answer),
            Some(_) => match self.expect(&mut state, now, number) {
                Ok(due) => {
                    if let Some(waiter) = state.line.line_mut().get(number) {
                        waiter.wants.looks = due;
                    }
                    PollResult::Again(due)
                }
                Err(error) => {
                    self.leave(&mut state, now, (number, tokens), &mut called);
                    PollResult::Answer(Err(error))
                }
            },
        };
        drop(state);
        drop(former);
        called.wake();
        look
    }

    /// When one in line will have its turn.
    ///
    /// # Errors
    /// If it has no chance.
    fn expect(&self, state: &mut State, now: Instant, number: u64) -> Result<Instant> {
        let Some((first, head)) = state.line.line_mut().first() else { return Ok(now) };
        let (first_tokens, first_before) = (head.wants.tokens, head.wants.before);
        let Some(waiter) = state.line.line_mut().get(number) else { return Ok(now) };
        let WaitRequest { tokens, deadline, before, .. } = waiter.wants;
        // As if nobody had left between the first and this one: it need not be counted, and is told if it is wrong.
        let ahead = (number - first, before.wrapping_sub(first_before));
        let earliest = state.due(now, first_tokens, (0, 0));
        let mut due = state.due(now, tokens, ahead).max(earliest);
        if deadline.is_some_and(|deadline| due >= deadline) {
            let counted = state.line.line().ahead_of(number);
            let ahead =
                counted.fold((0, 0), |(calls, sum): (u64, u64), wants| (calls + 1, sum.saturating_add(wants.tokens)));
            due = state.due(now, tokens, ahead).max(earliest);
        }
        self.check(state, now, due, deadline)?;
        Ok(due)
    }

    /// Fails if a call that is due at `due` has no chance: no time, or not the patience.
    fn check(&self, state: &State, now: Instant, due: Instant, deadline: Option<Instant>) -> Result<()> {
        let pause = state.pause_left(now);
        if pause > self.longest_pause {
            let message = format!("the server asked for a pause, {} of which are left", display::duration(pause));
            let hint = "serve a fallback, or wait longer with `Rate::max_pause`";
            return Err(Error::new(ErrorKind::Rejected, message).with_hint(hint).with_retry_after(pause));
        }
        if let Some(deadline) = deadline.filter(|deadline| due >= *deadline && due > now) {
            return Err(too_late(due - now, deadline.saturating_duration_since(now)));
        }
        Ok(())
    }

    /// Whoever has `number` and wanted `tokens` goes away; what it had goes to the next.
    fn leave(&self, state: &mut State, now: Instant, (number, tokens): (u64, u64), called: &mut WakeList) {
        match state.line.leave(number) {
            Some(Removed::Place(_, waker)) => {
                state.wanted = state.wanted.saturating_sub(tokens);
                called.drop_later(Some(waker));
            }
            Some(Removed::Answer(Ok(admission))) => self.give_turn_to(state, now, tokens, admission.pauses),
            Some(Removed::Answer(Err(_))) | None => {}
        }
        self.serve(state, now, None, called);
    }

    /// Lets calls go at the rate of `to`; false if they go at any. Who now goes earlier hears of it when it is the first.
    pub(super) fn set_rate(&self, to: Bucket) -> bool {
        let (mut state, now) = self.lock_now();
        let Some(requests) = &mut state.requests else { return false };
        requests.fill(now);
        *requests = requests.retuned(to);
        self.go_on(state, now);
        true
    }

    /// Takes more tokens than were reserved, whether there are any or not.
    pub(super) fn take_more(&self, tokens: u64) {
        let (mut state, now) = self.lock_now();
        if let Some(bucket) = &mut state.tokens {
            bucket.fill(now);
            bucket.take(tokens);
        }
    }

    /// Gives back tokens that were reserved and not used.
    pub(super) fn give(&self, tokens: u64) {
        let (mut state, now) = self.lock_now();
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.tokens.iter_mut().for_each(|bucket| bucket.give(tokens));
        self.go_on(state, now);
    }

    /// Gives back a turn that was not made use of, with the tokens that were taken for it. `pauses` is how many there
    /// were when it was had.
    pub(super) fn give_turn(&self, tokens: u64, pauses: u64) {
        let (mut state, now) = self.lock_now();
        self.give_turn_to(&mut state, now, tokens, pauses);
        self.go_on(state, now);
    }

    fn give_turn_to(&self, state: &mut State, now: Instant, tokens: u64, pauses: u64) {
        state.buckets().for_each(|bucket| bucket.fill(now));
        if pauses == self.pauses() {
            state.requests.iter_mut().for_each(|bucket| bucket.give(1));
            state.tokens.iter_mut().for_each(|bucket| bucket.give(tokens));
        } else {
            // A pause leaves no more than one call may go with: many such turns are not to add up to a herd.
            state.requests.iter_mut().for_each(|bucket| bucket.give_up_to(1, 1));
            state.tokens.iter_mut().for_each(|bucket| bucket.give_up_to(tokens, tokens));
        }
    }

    fn go_on(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        let mut called = WakeList::default();
        self.serve(&mut state, now, None, &mut called);
        drop(state);
        called.wake();
    }

    /// Takes over what the server says it has left, for a call of `tokens`.
    pub(super) fn tighten(&self, limits: &RateLimits, tokens: u64) {
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
            self.paused(state, now);
        }
    }

    /// Lets nobody go for `pause`, and then calls of some `tokens` one by one. False if it is paused for that
    /// long already.
    pub(super) fn pause(&self, pause: Duration, tokens: u64) -> bool {
        let (mut state, now) = self.lock_now();
        let until = after(now, pause);
        if until <= now || state.paused_until() >= Some(until) {
            return false;
        }
        state.buckets().for_each(|bucket| bucket.fill(now));
        state.requests.iter_mut().for_each(|bucket| bucket.pause(until, 1));
        state.tokens.iter_mut().for_each(|bucket| bucket.pause(until, tokens));
        self.paused(state, now);
        true
    }

    /// A pause has begun, or goes on for longer: turns that have not been made use of are lost, and those in line
    /// who have no chance any more hear it now.
    fn paused(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        self.pauses.fetch_add(1, Ordering::Release);
        let until = after(now, state.pause_left(now));
        let has_no_chance = |wants: &WaitRequest| self.check(&state, now, until, wants.deadline).err();
        let refused: Vec<(u64, Error)> =
            state.line.line().all().filter_map(|(number, wants)| Some((number, has_no_chance(wants)?))).collect();
        let mut called = WakeList::default();
        for (number, error) in refused {
            called.extend(state.answer(number, Err(error)));
        }
        // Whoever is the first in their stead may expect to go much later, behind what they wanted.
        self.serve(&mut state, now, None, &mut called);
        drop(state);
        called.wake();
    }

    pub(super) fn calls(&self) -> Option<(u64, Duration)> {
        self.lock().requests.as_ref().map(Bucket::flow)
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().line.line().len()
    }

    /// How much is left of a pause, if there is one.
    pub(super) fn pause_left(&self) -> Option<Duration> {
        let left = self.lock().pause_left(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

fn too_late(wait: Duration, left: Duration) -> Error {
    let message = format!(
        "the rate leaves no turn before the deadline: the next one is in {}, and {} are left",
        display::duration(wait),
        display::duration(left)
    );
    let hint = "start fewer calls at once, or raise the rate or the deadline";
    Error::new(ErrorKind::Rejected, message).with_hint(hint).with_retry_after(wait)
}
