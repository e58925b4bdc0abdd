//! What the clones of a budget share: what is spent, what is reserved, and who waits for it.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker};

use tokio::sync::{Mutex as FairMutex, Notify};
use tokio::time::Instant;

use super::caps::Caps;
use super::ticket::Ticket;
use crate::average::Average;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::{Fact, Queue, RefusedBy};
use crate::executor::breathe;
use crate::usage::Usage;

#[derive(Debug)]
pub(crate) struct Purse {
    caps: Caps,
    state: Mutex<State>,
    /// Held by the first in line, who alone looks whether there is enough.
    turn: FairMutex<()>,
    /// Something was settled.
    settled: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) spent: Usage,
    pub(super) reserved: Usage,
    /// Calls that have a reservation and have not ended.
    pub(super) outstanding: u64,
    /// Those of them of which nobody knew what to expect, and how many such calls have ended without a word.
    pub(super) blind: u64,
    pub(super) blind_ended: u64,
    usual: Usual,
    /// Calls in line.
    waiting: u64,
    /// Streams that look again when something is settled. They stand in no line: a stream is only polled
    /// while its consumer waits for it, and must not hold up others, that very consumer among them.
    watchers: Vec<Waker>,
}

/// What calls usually use.
#[derive(Debug, Default)]
struct Usual {
    input_tokens: Average,
    output_tokens: Average,
    cost: Average,
}

impl State {
    pub(super) fn learn(&mut self, used: Usage) {
        self.usual.input_tokens.learn(used.input_tokens as f64);
        self.usual.output_tokens.learn(used.output_tokens as f64);
        self.usual.cost.learn(used.cost);
    }

    fn usual(&self) -> Option<Usage> {
        let tokens = Usage::new(self.usual.input_tokens.whole()?, self.usual.output_tokens.whole()?);
        Some(tokens.with_cost(self.usual.cost.value()?))
    }
}

/// What comes of asking for a reservation.
enum Claim {
    Granted(Ticket),
    /// Not before something is settled.
    Later,
    Never(Error),
}

impl Purse {
    pub(super) fn new(caps: Caps) -> Self {
        Purse { caps, state: Mutex::default(), turn: FairMutex::new(()), settled: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is spent or reserved. Those who wait look at it once they are woken.
    pub(super) fn settle(&self, change: impl FnOnce(&mut State)) -> Woken<'_> {
        let mut state = self.lock();
        change(&mut state);
        if state.outstanding == 0 {
            // Whatever rounding has left of sums of costs.
            state.reserved = Usage::default();
        }
        Woken { purse: self, watchers: std::mem::take(&mut state.watchers) }
    }

    /// Why a call that runs under a reservation already must not go on; see [`Budget`](super::Budget).
    pub(super) fn spent_up(&self) -> Option<Error> {
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
    fn claim(self: &Arc<Self>, state: &mut State, expected: Option<Usage>) -> Claim {
        let known = expected.or_else(|| state.usual());
        let wanted = known.unwrap_or_default();
        if self.caps.are_reached(state.spent) || !self.caps.hold(state.spent + wanted) {
            return Claim::Never(self.caps.refusal(state.spent, known));
        }
        let taken = state.spent + state.reserved;
        let is_blind = known.is_none();
        let may_go = !is_blind || state.blind <= state.blind_ended;
        if may_go && !self.caps.are_reached(taken) && self.caps.hold(taken + wanted) {
            state.reserved += wanted;
            state.outstanding += 1;
            state.blind += u64::from(is_blind);
            return Claim::Granted(Ticket::new(self, wanted, is_blind));
        }
        Claim::Later
    }

    /// Reserves for a call; waits as long as calls in flight may leave enough of what they have reserved. If the
    /// call begins before its name is in the path, `name` says who it is.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        expected: Option<Usage>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<Ticket> {
        breathe().await;
        let step = || name.map(|name| cx.path().join(name));
        let place = {
            let mut state = self.lock();
            let claim = if state.waiting > 0 { Claim::Later } else { self.claim(&mut state, expected) };
            match claim {
                Claim::Granted(ticket) => return Ok(ticket),
                Claim::Later => state.waiting += 1,
                Claim::Never(error) => {
                    drop(state);
                    cx.fact(|| Fact::Refused { step: step(), by: RefusedBy::Budget, error: (&error).into() });
                    return Err(error.at(|| cx.path()));
                }
            }
            Place(self)
        };
        let since = Instant::now();
        cx.fact(|| Fact::Queued { step: step(), queue: Queue::Budget });
        // Boxed, so that calls which need not wait do not carry what it takes to.
        let reserved = Box::pin(self.wait(place, expected)).await;
        match &reserved {
            Ok(_) => cx.fact(|| Fact::Admitted { step: step(), queue: Queue::Budget, waited: since.elapsed() }),
            Err(error) => cx.fact(|| Fact::Refused { step: step(), by: RefusedBy::Budget, error: error.into() }),
        }
        reserved.map_err(|error| error.at(|| cx.path()))
    }

    async fn wait(self: &Arc<Self>, _place: Place<'_>, expected: Option<Usage>) -> Result<Ticket> {
        let _turn = self.turn.lock().await;
        loop {
            // Registered before the sums are looked at, so that nothing is missed.
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            let claim = self.claim(&mut self.lock(), expected);
            match claim {
                Claim::Granted(ticket) => return Ok(ticket),
                Claim::Later => settled.await,
                Claim::Never(error) => return Err(error),
            }
        }
    }

    /// The same for a stream, which is not to wait in line.
    pub(super) fn poll_reserve(
        self: &Arc<Self>,
        expected: Option<Usage>,
        task: &task::Context<'_>,
    ) -> Poll<Result<Ticket>> {
        let mut state = self.lock();
        let claim = if state.waiting > 0 { Claim::Later } else { self.claim(&mut state, expected) };
        match claim {
            Claim::Granted(ticket) => Poll::Ready(Ok(ticket)),
            Claim::Never(error) => Poll::Ready(Err(error)),
            Claim::Later => {
                if !state.watchers.iter().any(|watcher| watcher.will_wake(task.waker())) {
                    state.watchers.push(task.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// Those who wait for a settlement, to be woken when no lock is held: it may run anybody's code.
#[must_use = "they wait"]
pub(super) struct Woken<'a> {
    purse: &'a Purse,
    watchers: Vec<Waker>,
}

impl Woken<'_> {
    pub(super) fn wake(self) {
        self.purse.settled.notify_waiters();
        self.watchers.into_iter().for_each(Waker::wake);
    }
}

/// A place in line. Dropping it gives it up.
struct Place<'a>(&'a Purse);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting -= 1;
        let watchers = if state.waiting == 0 { std::mem::take(&mut state.watchers) } else { Vec::new() };
        drop(state);
        watchers.into_iter().for_each(Waker::wake);
    }
}
