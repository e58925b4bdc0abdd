//! What the clones of a budget share: what is spent, what is reserved, and who waits for it.
//!
//! Those who wait reserve nothing for themselves: whoever settles something reserves for the first in line as long
//! as there is enough, and so a call that is not polled any more, though it stands in line, holds up nobody.

#[cfg(all(test, shuttle))]
mod schedules;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use tokio::time::Instant;

use super::caps::Caps;
use super::reservation::BudgetReservation;
use crate::context::Context;
use crate::control::ewma::Average;
use crate::error::{Error, Result};
use crate::observe::event::{EventKind, RejectedBy, WaitKind};
use crate::observe::usage::Usage;
use crate::runtime::executor::yield_if_due;
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::wait_queue::{Removed, WaitQueue, WakeList};

pub(crate) struct BudgetLedger {
    caps: Caps,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) spent: Usage,
    pub(super) reserved: Usage,
    /// Calls that have a reservation and have not ended.
    pub(super) outstanding: u64,
    /// Those of them of which nobody knew what to expect, and how many such calls have ended without a word.
    pub(super) blind: u64,
    pub(super) blind_ended: u64,
    usual: TypicalUsage,
    /// Calls in line, with what is expected of them.
    line: WaitQueue<Option<Usage>, Result<Reservation>>,
    /// Streams that look again when something is settled. They stand in no line: a stream is only polled
    /// while its consumer waits for it, and must not hold up others, that very consumer among them.
    watchers: Vec<Waker>,
}

/// What calls usually use.
#[derive(Debug, Default)]
struct TypicalUsage {
    input_tokens: Average,
    output_tokens: Average,
    cost: Average,
}

impl State {
    pub(super) fn learn(&mut self, used: Usage) {
        self.usual.input_tokens.learn(used.input_tokens as f64);
        self.usual.output_tokens.learn(used.output_tokens as f64);
        self.usual.cost.learn(used.cost.as_f64());
    }

    /// Takes a call off those that are outstanding, with what is left of its reservation.
    pub(super) fn release(&mut self, held: Usage, is_unestimated: bool) {
        self.outstanding -= 1;
        self.blind -= u64::from(is_unestimated);
        // Sums saturate, so something may be left.
        self.reserved = if self.outstanding == 0 { Usage::default() } else { self.reserved.without(held) };
    }

    fn usual(&self) -> Option<Usage> {
        let tokens = Usage::new(self.usual.input_tokens.whole()?, self.usual.output_tokens.whole()?);
        Some(tokens.with_cost(self.usual.cost.value()?))
    }
}

/// What is set aside for a call.
pub(super) struct Reservation {
    pub(super) usage: Usage,
    /// Whether nobody knew what to expect of the call.
    pub(super) is_unestimated: bool,
}

/// What comes of asking for a reservation.
enum Reserve {
    Granted(Reservation),
    /// Not before something is settled.
    Later,
    Never(Error),
}

impl BudgetLedger {
    pub(super) fn new(caps: Caps) -> Self {
        BudgetLedger { caps, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes what is spent or reserved, and reserves for those in line what there is for them.
    pub(super) fn settle(&self, change: impl FnOnce(&mut State)) -> WakeList {
        let mut state = self.lock();
        change(&mut state);
        let mut called = WakeList::default();
        self.serve(&mut state, &mut called);
        called
    }

    /// Answers those in line, in order, as far as there is an answer.
    fn serve(&self, state: &mut State, called: &mut WakeList) {
        while let Some((number, first)) = state.line.line_mut().first() {
            let expected = first.wants;
            let answer = match self.claim(state, expected) {
                Reserve::Granted(reservation) => Ok(reservation),
                Reserve::Never(error) => Err(error),
                Reserve::Later => return,
            };
            called.extend(state.line.answer(number, answer).map(|(_, waker)| waker));
        }
        // Streams look once nobody is in line any more.
        called.extend(std::mem::take(&mut state.watchers));
    }

    /// Why a call that runs under a reservation already must not go on; see [`Budget`](super::Budget).
    pub(super) fn exhausted(&self) -> Option<Error> {
        let state = self.lock();
        self.caps.are_reached(state.spent).then(|| self.caps.refusal(state.spent, None))
    }

    pub(super) fn spent(&self) -> Usage {
        self.lock().spent
    }

    /// What is neither spent nor reserved.
    pub(super) fn taken(&self) -> Usage {
        let state = self.lock();
        state.spent + state.reserved
    }

    /// Reserves what a call is expected to use, if `expected` tells, or else what calls usually do.
    ///
    /// As long as nobody knows what that is, calls go one at a time, and one more for each that has ended
    /// without a word.
    fn claim(&self, state: &mut State, expected: Option<Usage>) -> Reserve {
        let known = expected.or_else(|| state.usual());
        let usage = known.unwrap_or_default();
        if self.caps.are_reached(state.spent) || !self.caps.hold(state.spent + usage) {
            return Reserve::Never(self.caps.refusal(state.spent, known));
        }
        let taken = state.spent + state.reserved;
        let is_unestimated = known.is_none();
        let may_go = !is_unestimated || state.blind <= state.blind_ended;
        if may_go && !self.caps.are_reached(taken) && self.caps.hold(taken + usage) {
            state.reserved += usage;
            state.outstanding += 1;
            state.blind += u64::from(is_unestimated);
            return Reserve::Granted(Reservation { usage, is_unestimated });
        }
        Reserve::Later
    }

    /// The same for one who comes, and goes to the end of the line if there is one.
    fn ask(&self, state: &mut State, expected: Option<Usage>) -> Reserve {
        if state.line.line().is_empty() { self.claim(state, expected) } else { Reserve::Later }
    }

    /// Reserves for a call; waits as long as calls in flight may leave enough of what they have reserved. If the
    /// call begins before its name is in the path, `name` says who it is. Says whether it had to wait.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        expected: Option<Usage>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<(BudgetReservation, bool)> {
        yield_if_due().await;
        let step = || name.map(|name| cx.path().join(name));
        let place = match self.enter(expected) {
            Ok(Admit::Admitted(reservation)) => return Ok((BudgetReservation::new(self, reservation), false)),
            Ok(Admit::InLine(place)) => place,
            Err(error) => {
                cx.record_event(|| EventKind::Refused { step: step(), by: RejectedBy::Budget, error: (&error).into() });
                return Err(error.at(|| cx.path()));
            }
        };
        let since = Instant::now();
        cx.record_event(|| EventKind::Queued { step: step(), queue: WaitKind::Budget });
        // Boxed, so that calls which need not wait do not carry what it takes to.
        let reserved = Box::pin(cx.wait_or_cancelled(cx.deadline(), place.wait())).await.and_then(|reserved| reserved);
        match &reserved {
            Ok(_) => cx.record_event(|| EventKind::Admitted {
                step: step(),
                queue: WaitKind::Budget,
                waited: since.elapsed(),
            }),
            Err(error) => {
                cx.record_event(|| EventKind::Refused { step: step(), by: RejectedBy::Budget, error: error.into() })
            }
        }
        let reservation = reserved.map_err(|error| error.at(|| cx.path()))?;
        Ok((BudgetReservation::new(self, reservation), true))
    }

    fn enter(&self, expected: Option<Usage>) -> Result<Admit<'_>> {
        let mut state = self.lock();
        match self.ask(&mut state, expected) {
            Reserve::Granted(reservation) => Ok(Admit::Admitted(reservation)),
            Reserve::Never(error) => Err(error),
            Reserve::Later => {
                let number = state.line.line_mut().join(Waker::noop().clone(), expected);
                Ok(Admit::InLine(WaitSlot { purse: self, number: Some(number) }))
            }
        }
    }

    /// How many calls wait in line.
    pub(super) fn waiting(&self) -> usize {
        self.lock().line.line().len()
    }

    /// The same for a stream, which is not to wait in line.
    pub(super) fn poll_reserve(
        self: &Arc<Self>,
        expected: Option<Usage>,
        task: &task::Context<'_>,
    ) -> Poll<Result<BudgetReservation>> {
        let mut state = self.lock();
        match self.ask(&mut state, expected) {
            Reserve::Granted(reservation) => Poll::Ready(Ok(BudgetReservation::new(self, reservation))),
            Reserve::Never(error) => Poll::Ready(Err(error)),
            Reserve::Later => {
                if !state.watchers.iter().any(|watcher| watcher.will_wake(task.waker())) {
                    state.watchers.push(task.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

enum Admit<'a> {
    Admitted(Reservation),
    InLine(WaitSlot<'a>),
}

/// A place in line. Dropping it gives it up, or the reservation that was made for it.
struct WaitSlot<'a> {
    purse: &'a BudgetLedger,
    /// `None` once the answer is fetched.
    number: Option<u64>,
}

impl WaitSlot<'_> {
    async fn wait(mut self) -> Result<Reservation> {
        poll_fn(|task| self.poll_answer(task.waker())).await
    }

    fn poll_answer(&mut self, waker: &Waker) -> Poll<Result<Reservation>> {
        let Some(number) = self.number else { return Poll::Pending };
        let mut state = self.purse.lock();
        if let Some(answer) = state.line.fetch(number) {
            self.number = None;
            return Poll::Ready(answer);
        }
        let former = state.line.line_mut().update(number, waker);
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut called = WakeList::default();
        let mut state = self.purse.lock();
        match state.line.leave(number) {
            Some(Removed::Answer(Ok(reservation))) => state.release(reservation.usage, reservation.is_unestimated),
            Some(Removed::Answer(Err(_))) | None => {}
            Some(Removed::Place(_, waker)) => called.drop_later(Some(waker)),
        }
        self.purse.serve(&mut state, &mut called);
        drop(state);
        called.wake();
    }
}
