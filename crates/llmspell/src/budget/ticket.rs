//! One call under a budget: what it has reserved, and what it came to.

use std::sync::{Arc, Mutex, PoisonError};

use super::purse::Purse;
use crate::context::{Account, Meter};
use crate::error::{Error, Kind};
use crate::usage::Usage;

/// A reservation, and what became of it. Dropped before the call has begun, it goes back.
#[derive(Debug)]
pub(super) struct Ticket {
    purse: Arc<Purse>,
    course: Mutex<Course>,
}

#[derive(Debug)]
struct Course {
    /// What is reserved and not used yet; after the end, what counts as spent although nobody has said so.
    held: Usage,
    used: Usage,
    /// Whether the call has said anything about what it used.
    told: bool,
    begun: bool,
    ended: bool,
    /// Whether nobody knew what to expect of the call.
    is_blind: bool,
}

impl Ticket {
    pub(super) fn new(purse: &Arc<Purse>, reserved: Usage, is_blind: bool) -> Self {
        let course =
            Course { held: reserved, used: Usage::default(), told: false, begun: false, ended: false, is_blind };
        Ticket { purse: purse.clone(), course: Mutex::new(course) }
    }

    /// A ticket for a call that nobody has reserved anything for.
    pub(super) fn without_reservation(purse: &Arc<Purse>) -> Self {
        purse.settle(|state| state.outstanding += 1).wake();
        Ticket::new(purse, Usage::default(), false)
    }

    /// The call has ended. If it has not said what it used, it counts as what was expected, in case that it
    /// `may_cost` that.
    fn end(&self, may_cost: bool) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if course.ended {
            return;
        }
        course.ended = true;
        let held = course.held;
        if course.told || !may_cost {
            course.held = Usage::default();
        }
        let woken = self.purse.settle(|state| {
            state.outstanding -= 1;
            state.reserved = state.reserved.without(held);
            state.spent += course.held;
            state.blind -= u64::from(course.is_blind);
            if course.told {
                state.learn(course.used);
            } else if course.is_blind && course.begun {
                state.blind_ended += 1;
            }
        });
        drop(course);
        woken.wake();
    }
}

impl Meter for Ticket {
    fn account(&self) -> Account {
        Account::of(&self.purse)
    }

    fn used(&self, usage: Usage) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Drop for Ticket {
    /// Nothing more will be said. What was kept for work that then told less goes back.
    fn drop(&mut self) {
        self.end(false);
        let course = self.course.get_mut().unwrap_or_else(PoisonError::into_inner);
        if course.told && !course.held.is_zero() {
            self.purse.settle(|state| state.spent = state.spent.without(course.held)).wake();
        }
    }
}

/// A call that has begun. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct Call(Arc<Ticket>);

impl Call {
    pub(super) fn begin(mut ticket: Ticket) -> Self {
        ticket.course.get_mut().unwrap_or_else(PoisonError::into_inner).begun = true;
        Call(Arc::new(ticket))
    }

    pub(crate) fn meter(&self) -> Arc<dyn Meter> {
        self.0.clone()
    }

    pub(crate) fn end(self, error: Option<&Error>) {
        self.0.end(error.is_none_or(may_have_cost));
    }
}

impl Drop for Call {
    /// The caller has left; for all that anybody knows, the call is answered and paid for.
    fn drop(&mut self) {
        self.0.end(true);
    }
}

/// Whether a call that failed like this may have been answered, and so have to be paid for.
fn may_have_cost(error: &Error) -> bool {
    match error.kind() {
        Kind::Timeout | Kind::Cancelled => true,
        Kind::Exhausted => error.causes().iter().any(may_have_cost),
        _ => false,
    }
}
