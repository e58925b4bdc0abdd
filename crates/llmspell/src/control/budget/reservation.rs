//! The reservation of one call under a budget, and its settlement.

use std::sync::Arc;
use std::task::{self, Poll};

use super::ledger::{BudgetLedger, Reserved};
use crate::context::{Context, MeterId, UsageMeter};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::WaitKind;
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, get_mut, lock};
use crate::runtime::timing::yield_if_due;
use crate::runtime::wait_queue::Admit;

/// A reservation, and the usage that the call has reported. If it is dropped before the call has started, it is
/// released.
pub(super) struct BudgetReservation {
    ledger: Arc<BudgetLedger>,
    /// Whether the call has started.
    begun: AtomicBool,
    state: Mutex<ReservationState>,
}

struct ReservationState {
    /// The amount that is reserved and not used yet. After the end of the call, the amount that counts as spent
    /// although it was not reported.
    held: Usage,
    used: Usage,
    /// Whether the call has reported any usage.
    is_reported: bool,
    ended: bool,
    /// Whether there was no estimate for the call.
    is_unestimated: bool,
}

impl BudgetReservation {
    pub(super) fn new(ledger: &Arc<BudgetLedger>, reserved: Reserved) -> Self {
        let Reserved { usage: held, is_unestimated } = reserved;
        let state = ReservationState { held, used: Usage::default(), is_reported: false, ended: false, is_unestimated };
        BudgetReservation { ledger: ledger.clone(), begun: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Reserves for a call, and waits while calls in flight may leave enough of their reservations. `name` is that of
    /// the step, if the call begins before the name is in the path. Also returns whether the call had to wait.
    pub(super) async fn reserve(
        ledger: &Arc<BudgetLedger>,
        expected: Option<Usage>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<(BudgetReservation, bool)> {
        yield_if_due().await;
        let result = match ledger.reserve_or_enqueue(expected) {
            Ok(Admit::Admitted(reserved)) => return Ok((BudgetReservation::new(ledger, reserved), false)),
            // Boxed, so that calls which do not wait do not carry the state of a wait.
            Ok(Admit::Queued(waiting)) => {
                Box::pin(cx.admit(WaitKind::Budget, name, cx.deadline(), waiting.result())).await
            }
            Err(error) => {
                cx.rejected(WaitKind::Budget, name, &error);
                Err(error)
            }
        };
        let reserved = result.map_err(|error| error.at(|| cx.path()))?;
        Ok((BudgetReservation::new(ledger, reserved), true))
    }

    /// Reserves for an item of a stream, which must not wait in the queue.
    pub(super) fn poll_reserve(
        ledger: &Arc<BudgetLedger>,
        expected: Option<Usage>,
        task: &task::Context<'_>,
    ) -> Poll<Result<BudgetReservation>> {
        ledger.poll_reserve(expected, task).map_ok(|reserved| BudgetReservation::new(ledger, reserved))
    }

    fn lock(&self) -> MutexGuard<'_, ReservationState> {
        lock(&self.state)
    }

    /// Creates a reservation of nothing, for a call that is admitted in any case.
    pub(super) fn empty(ledger: &Arc<BudgetLedger>) -> Self {
        ledger.settle(|state| state.in_flight += 1).wake();
        BudgetReservation::new(ledger, Reserved { usage: Usage::default(), is_unestimated: false })
    }

    /// Ends the call. If it has not reported its usage, it counts as the expected usage, unless `assumed` rules out that
    /// it cost anything.
    fn end(&self, assumed: AssumedCost) {
        let begun = self.begun.load(Ordering::Acquire);
        let mut call = self.lock();
        if call.ended {
            return;
        }
        call.ended = true;
        let may_have_cost = match assumed {
            AssumedCost::Nothing => false,
            AssumedCost::ExpectedIfBegun => begun,
            AssumedCost::Expected => true,
        };
        let held = call.held;
        if call.is_reported || !may_have_cost {
            call.held = Usage::default();
        }
        let wake_list = self.ledger.settle(|state| {
            state.release(held, call.is_unestimated);
            state.spent += call.held;
            if call.is_reported {
                state.learn(call.used);
            } else if call.is_unestimated && begun {
                state.unestimated_ended += 1;
            }
        });
        drop(call);
        wake_list.wake();
    }
}

/// The assumed cost of a call that has not reported its usage.
enum AssumedCost {
    Nothing,
    ExpectedIfBegun,
    Expected,
}

impl UsageMeter for BudgetReservation {
    fn id(&self) -> MeterId {
        MeterId::of(&self.ledger)
    }

    fn on_start(&self) -> bool {
        // Two threads that report it at the same time both report it to the meters further out.
        self.begun.load(Ordering::Acquire) || {
            self.begun.store(true, Ordering::Release);
            false
        }
    }

    fn on_usage(&self, usage: Usage) {
        let mut call = self.lock();
        call.is_reported = true;
        call.used += usage;
        let covered = call.held.common(usage);
        call.held = call.held.without(usage);
        let wake_list = self.ledger.settle(|state| {
            if call.ended {
                // Up to the expected usage, it counts already.
                state.spent += usage.without(covered);
            } else {
                state.reserved = state.reserved.without(covered);
                state.spent += usage;
            }
        });
        drop(call);
        wake_list.wake();
    }
}

impl Drop for BudgetReservation {
    /// No further usage can be reported. If work reported less than was kept for it, the rest is released.
    fn drop(&mut self) {
        self.end(AssumedCost::Nothing);
        let call = get_mut(&mut self.state);
        if call.is_reported && !call.held.is_zero() {
            self.ledger.settle(|state| state.spent = state.spent.without(call.held)).wake();
        }
    }
}

/// A running call under a budget. Dropping it ends the call.
pub(crate) struct BudgetGuard(Arc<BudgetReservation>);

impl BudgetGuard {
    pub(super) fn new(mut reservation: BudgetReservation, begun: bool) -> Self {
        *reservation.begun.get_mut() = begun;
        BudgetGuard(Arc::new(reservation))
    }

    pub(crate) fn meter(&self) -> Arc<dyn UsageMeter> {
        self.0.clone()
    }

    pub(crate) fn end(self, error: Option<&Error>) {
        self.0.end(match error {
            None => AssumedCost::Expected,
            Some(error) if may_have_cost(error) => AssumedCost::ExpectedIfBegun,
            Some(_) => AssumedCost::Nothing,
        });
    }
}

impl Drop for BudgetGuard {
    /// The caller has gone. A call that has started may still be answered, and so have to be paid for.
    fn drop(&mut self) {
        self.0.end(AssumedCost::ExpectedIfBegun);
    }
}

/// Whether a call that failed like this may have been answered, and so have to be paid for.
fn may_have_cost(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Cancelled => true,
        ErrorKind::AllFailed => error.causes().iter().any(may_have_cost),
        _ => false,
    }
}
