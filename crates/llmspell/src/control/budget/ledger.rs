//! The ledger of a budget: what is spent, what is reserved, and the calls that wait for it.
//!
//! A waiter reserves nothing for itself. The task that settles something reserves for the first waiter, and for those
//! after it, as long as there is enough. So a waiter that is not polled does not block the queue.

#[cfg(all(test, shuttle))]
mod schedules;

use std::task::{self, Poll, Waker};

use super::caps::Caps;
use crate::control::ewma::Ewma;
use crate::error::{Error, Result};
use crate::observe::usage::Usage;
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::wait_queue::{Admit, QueueOwner, Removed, WaitQueue, WaiterPoll, Waiting, WakeList};

/// The shared state of the clones of a budget.
pub(crate) struct BudgetLedger {
    caps: Caps,
    state: Mutex<LedgerState>,
}

#[derive(Default)]
pub(super) struct LedgerState {
    pub(super) spent: Usage,
    pub(super) reserved: Usage,
    /// Calls that have a reservation and have not ended.
    pub(super) in_flight: u64,
    /// Calls in flight without any estimate.
    pub(super) unestimated: u64,
    /// Calls without any estimate that have ended without reporting their usage.
    pub(super) unestimated_ended: u64,
    typical: TypicalUsage,
    /// Waiting calls, each with its expected usage.
    queue: WaitQueue<Option<Usage>, Result<Reserved>>,
    /// The wakers of streams, which try again when something is settled. They do not wait in the queue: a stream is
    /// polled only while its consumer waits for it, and must not block others, that very consumer among them.
    streams: Vec<Waker>,
}

/// A moving average of the usage of calls.
#[derive(Debug, Default)]
struct TypicalUsage {
    input_tokens: Ewma,
    output_tokens: Ewma,
    cost: Ewma,
}

impl LedgerState {
    /// Learns from the usage of a call.
    pub(super) fn learn(&mut self, used: Usage) {
        self.typical.input_tokens.add(used.input_tokens as f64);
        self.typical.output_tokens.add(used.output_tokens as f64);
        self.typical.cost.add(used.cost.as_f64());
    }

    /// Releases what is left of the reservation of a call, which is no longer in flight.
    pub(super) fn release(&mut self, held: Usage, is_unestimated: bool) {
        self.in_flight -= 1;
        self.unestimated -= u64::from(is_unestimated);
        // Sums saturate, so something may be left.
        self.reserved = if self.in_flight == 0 { Usage::default() } else { self.reserved.without(held) };
    }

    fn typical(&self) -> Option<Usage> {
        let tokens = Usage::new(self.typical.input_tokens.rounded_up()?, self.typical.output_tokens.rounded_up()?);
        Some(tokens.with_cost(self.typical.cost.value()?))
    }
}

/// The amount that is reserved for a call.
pub(crate) struct Reserved {
    pub(super) usage: Usage,
    /// Whether there was no estimate for the call.
    pub(super) is_unestimated: bool,
}

/// The result of an attempt to reserve.
enum Reserve {
    Granted(Reserved),
    /// Not possible before something is settled.
    Later,
    Never(Error),
}

impl BudgetLedger {
    pub(super) fn new(caps: Caps) -> Self {
        BudgetLedger { caps, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        lock(&self.state)
    }

    /// Changes what is spent or reserved, and reserves for the waiters what there is for them.
    pub(super) fn settle(&self, change: impl FnOnce(&mut LedgerState)) -> WakeList {
        let mut state = self.lock();
        change(&mut state);
        let mut wake_list = WakeList::default();
        self.serve(&mut state, &mut wake_list);
        wake_list
    }

    /// Ends the waits of the first waiters, in order, until one must wait on.
    fn serve(&self, state: &mut LedgerState, wake_list: &mut WakeList) {
        while let Some((number, first)) = state.queue.first() {
            let expected = first.request;
            let result = match self.try_reserve(state, expected) {
                Reserve::Granted(reserved) => Ok(reserved),
                Reserve::Never(error) => Err(error),
                Reserve::Later => return,
            };
            wake_list.extend(state.queue.complete(number, result).map(|waiter| waiter.waker));
        }
        // Streams try again once no call waits.
        wake_list.extend(std::mem::take(&mut state.streams));
    }

    /// Returns why a call under an existing reservation must not continue; see [`Budget`](super::Budget).
    pub(super) fn exhausted(&self) -> Option<Error> {
        let state = self.lock();
        self.caps.are_reached(state.spent).then(|| self.caps.rejection(state.spent, None))
    }

    pub(super) fn spent(&self) -> Usage {
        self.lock().spent
    }

    /// Returns what is spent or reserved.
    pub(super) fn committed(&self) -> Usage {
        let state = self.lock();
        state.spent + state.reserved
    }

    /// Reserves the expected usage of a call, or the typical usage if there is no estimate.
    ///
    /// Without either, calls run one at a time, and one more for each that has ended without reporting its usage.
    fn try_reserve(&self, state: &mut LedgerState, expected: Option<Usage>) -> Reserve {
        let known = expected.or_else(|| state.typical());
        let usage = known.unwrap_or_default();
        if self.caps.are_reached(state.spent) || !self.caps.allow(state.spent + usage) {
            return Reserve::Never(self.caps.rejection(state.spent, known));
        }
        let committed = state.spent + state.reserved;
        let is_unestimated = known.is_none();
        let may_start = !is_unestimated || state.unestimated <= state.unestimated_ended;
        if may_start && !self.caps.are_reached(committed) && self.caps.allow(committed + usage) {
            state.reserved += usage;
            state.in_flight += 1;
            state.unestimated += u64::from(is_unestimated);
            return Reserve::Granted(Reserved { usage, is_unestimated });
        }
        Reserve::Later
    }

    /// Reserves for a new call, which must wait if others do.
    fn try_reserve_fairly(&self, state: &mut LedgerState, expected: Option<Usage>) -> Reserve {
        if state.queue.is_empty() { self.try_reserve(state, expected) } else { Reserve::Later }
    }

    /// Reserves for a new call, or lets it wait while calls in flight may leave enough of their reservations.
    pub(super) fn reserve_or_enqueue(&self, expected: Option<Usage>) -> Result<Admit<'_, Self, Reserved>> {
        let mut state = self.lock();
        match self.try_reserve_fairly(&mut state, expected) {
            Reserve::Granted(reserved) => Ok(Admit::Admitted(reserved)),
            Reserve::Never(error) => Err(error),
            Reserve::Later => {
                let number = state.queue.push(Waker::noop().clone(), expected);
                Ok(Admit::Queued(Waiting::new(self, number)))
            }
        }
    }

    /// Returns how many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Reserves for an item of a stream, which must not wait in the queue.
    pub(super) fn poll_reserve(&self, expected: Option<Usage>, task: &task::Context<'_>) -> Poll<Result<Reserved>> {
        let mut state = self.lock();
        match self.try_reserve_fairly(&mut state, expected) {
            Reserve::Granted(reserved) => Poll::Ready(Ok(reserved)),
            Reserve::Never(error) => Poll::Ready(Err(error)),
            Reserve::Later => {
                if !state.streams.iter().any(|stream| stream.will_wake(task.waker())) {
                    state.streams.push(task.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl QueueOwner for BudgetLedger {
    type Output = Result<Reserved>;

    fn poll_waiter(&self, number: u64, waker: &Waker) -> WaiterPoll<Result<Reserved>> {
        let mut state = self.lock();
        if let Some(result) = state.queue.take_result(number) {
            return WaiterPoll::Ready(result);
        }
        let former = state.queue.update_waker(number, waker);
        drop(state);
        drop(former);
        WaiterPoll::Pending
    }

    fn abandon(&self, number: u64) {
        let mut wake_list = WakeList::default();
        let mut state = self.lock();
        match state.queue.remove(number) {
            Some(Removed::Result(Ok(reserved))) => state.release(reserved.usage, reserved.is_unestimated),
            Some(Removed::Result(Err(_))) | None => {}
            Some(Removed::Waiter(waiter)) => wake_list.drop_later(Some(waiter.waker)),
        }
        self.serve(&mut state, &mut wake_list);
        drop(state);
        wake_list.wake();
    }
}
