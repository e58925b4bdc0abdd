//! A budget for all items of a stream.

use std::sync::Arc;
use std::task::{self, Poll};

use super::Budget;
use super::ledger::BudgetLedger;
use super::reservation::{BudgetGuard, BudgetReservation};
use crate::error::Result;
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// Reservations between the source of a stream, which is pulled for one, and the items, each of which runs
/// under one. They are all alike, so it does not matter which takes which.
pub(crate) struct StreamReservations {
    budget: Budget,
    purse: Arc<BudgetLedger>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// For the next input, if there is one.
    next: Option<BudgetReservation>,
    /// For inputs that have been pulled and do not run yet.
    ready: Vec<BudgetReservation>,
}

impl StreamReservations {
    pub(super) fn new(budget: Budget, purse: Arc<BudgetLedger>) -> Self {
        StreamReservations { budget, purse, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Ready once there is a reservation for another input.
    ///
    /// # Errors
    /// If there never will be.
    pub(crate) fn poll_next(&self, task: &task::Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.next.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.purse.poll_reserve(self.budget.estimate, task).map_ok(|ticket| state.next = Some(ticket))
    }

    /// The input has come.
    pub(crate) fn enter(&self) {
        let mut state = self.lock();
        let ticket = state.next.take();
        state.ready.extend(ticket);
    }

    /// No input has come, and others may have better use for what is reserved for it.
    pub(crate) fn leave(&self) {
        let ticket = self.lock().next.take();
        drop(ticket);
    }

    /// An item begins; whether its call has, is for the step to say or not.
    pub(crate) fn begin(&self, has_begun: bool) -> BudgetGuard {
        let ticket = self.lock().ready.pop();
        // A second copy of an item has none of its own.
        BudgetGuard::new(ticket.unwrap_or_else(|| BudgetReservation::without_reservation(&self.purse)), has_begun)
    }
}
