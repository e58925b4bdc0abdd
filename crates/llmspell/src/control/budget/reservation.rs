//! One call under a budget: what it has reserved, and what it came to.

use std::sync::Arc;

use super::ledger::{BudgetLedger, Reservation};
use crate::context::{MeterId, UsageMeter};
use crate::error::{Error, ErrorKind};
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock, unlocked};

/// A reservation, and what became of it. Dropped before the call has begun, it goes back.
pub(super) struct BudgetReservation {
    purse: Arc<BudgetLedger>,
    /// Whether the call has gone out.
    begun: AtomicBool,
    course: Mutex<ReservationState>,
}

struct ReservationState {
    /// What is reserved and not used yet; after the end, what counts as spent although nobody has said so.
    held: Usage,
    used: Usage,
    /// Whether the call has said anything about what it used.
    told: bool,
    ended: bool,
    /// Whether nobody knew what to expect of the call.
    is_unestimated: bool,
}

impl BudgetReservation {
    pub(super) fn new(purse: &Arc<BudgetLedger>, reservation: Reservation) -> Self {
        let Reservation { usage: held, is_unestimated } = reservation;
        let course = ReservationState { held, used: Usage::default(), told: false, ended: false, is_unestimated };
        BudgetReservation { purse: purse.clone(), begun: AtomicBool::new(false), course: Mutex::new(course) }
    }

    fn lock(&self) -> MutexGuard<'_, ReservationState> {
        lock(&self.course)
    }

    /// A ticket for a call that nobody has reserved anything for.
    pub(super) fn without_reservation(purse: &Arc<BudgetLedger>) -> Self {
        purse.settle(|state| state.outstanding += 1).wake();
        BudgetReservation::new(purse, Reservation { usage: Usage::default(), is_unestimated: false })
    }

    /// The call has ended. If it has not said what it used, it counts as what was expected, in case that it
    /// may have `cost` that.
    fn end(&self, cost: AssumedCost) {
        let begun = self.begun.load(Ordering::Acquire);
        let mut course = self.lock();
        if course.ended {
            return;
        }
        course.ended = true;
        let may_cost = match cost {
            AssumedCost::Nothing => false,
            AssumedCost::IfBegun => begun,
            AssumedCost::Something => true,
        };
        let held = course.held;
        if course.told || !may_cost {
            course.held = Usage::default();
        }
        let woken = self.purse.settle(|state| {
            state.release(held, course.is_unestimated);
            state.spent += course.held;
            if course.told {
                state.learn(course.used);
            } else if course.is_unestimated && begun {
                state.blind_ended += 1;
            }
        });
        drop(course);
        woken.wake();
    }
}

/// What a call may have cost that has not said so.
enum AssumedCost {
    Nothing,
    IfBegun,
    Something,
}

impl UsageMeter for BudgetReservation {
    fn id(&self) -> MeterId {
        MeterId::of(&self.purse)
    }

    fn on_start(&self) -> bool {
        // Who says it twice at once says it twice to those further out, too.
        self.begun.load(Ordering::Acquire) || {
            self.begun.store(true, Ordering::Release);
            false
        }
    }

    fn on_usage(&self, usage: Usage) {
        let mut course = self.lock();
        course.told = true;
        course.used += usage;
        let covered = course.held.common(usage);
        course.held = course.held.without(usage);
        let woken = self.purse.settle(|state| {
            if course.ended {
                // Up to what was expected it counts already.
                state.spent += usage.without(covered);
            } else {
                state.reserved = state.reserved.without(covered);
                state.spent += usage;
            }
        });
        drop(course);
        woken.wake();
    }
}

impl Drop for BudgetReservation {
    /// Nothing more will be said. What was kept for work that then told less goes back.
    fn drop(&mut self) {
        self.end(AssumedCost::Nothing);
        let course = unlocked(&mut self.course);
        if course.told && !course.held.is_zero() {
            self.purse.settle(|state| state.spent = state.spent.without(course.held)).wake();
        }
    }
}

/// A call that is on its way. Dropping it ends the call.
pub(crate) struct BudgetGuard(Arc<BudgetReservation>);

impl BudgetGuard {
    pub(super) fn new(mut ticket: BudgetReservation, begun: bool) -> Self {
        *ticket.begun.get_mut() = begun;
        BudgetGuard(Arc::new(ticket))
    }

    pub(crate) fn meter(&self) -> Arc<dyn UsageMeter> {
        self.0.clone()
    }

    pub(crate) fn end(self, error: Option<&Error>) {
        self.0.end(match error {
            None => AssumedCost::Something,
            Some(error) if may_have_cost(error) => AssumedCost::IfBegun,
            Some(_) => AssumedCost::Nothing,
        });
    }
}

impl Drop for BudgetGuard {
    /// The caller has left; for all that anybody knows, a call that has gone out is answered and paid for.
    fn drop(&mut self) {
        self.0.end(AssumedCost::IfBegun);
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
