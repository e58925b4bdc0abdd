//! A budget for all items of a stream.

use std::sync::Arc;
use std::task::{self, Poll};

use super::Budget;
use super::ledger::BudgetLedger;
use super::reservation::{BudgetGuard, BudgetReservation};
use crate::context::{AdmissionGate, Context, MeterId};
use crate::error::{Error, Result};

use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// The part of a budget that applies to a stream.
pub(crate) enum StreamBudget {
    Unlimited,
    /// The stream is part of a call that has its own reservation.
    Gate(Arc<dyn AdmissionGate>),
    PerItem(Arc<StreamReservations>),
}

impl Budget {
    /// Returns the part of the budget that applies to a stream which runs under `cx`.
    pub(crate) fn for_stream(self, cx: &Context) -> StreamBudget {
        match self.ledger.clone() {
            None => StreamBudget::Unlimited,
            Some(ledger) if cx.is_metered_for(MeterId::of(&ledger)) => {
                StreamBudget::Gate(Arc::new(ExhaustedGate(ledger)))
            }
            Some(ledger) => StreamBudget::PerItem(Arc::new(StreamReservations::new(self, ledger))),
        }
    }
}

/// A gate that is closed once everything is spent.
struct ExhaustedGate(Arc<BudgetLedger>);

impl AdmissionGate for ExhaustedGate {
    fn close_reason(&self) -> Option<Error> {
        self.0.exhausted()
    }
}

/// The reservations of a stream. The source is pulled only with a reservation for the next input, and each item runs
/// under one. All reservations are alike, so it does not matter which item takes which.
pub(crate) struct StreamReservations {
    budget: Budget,
    ledger: Arc<BudgetLedger>,
    pending: Mutex<PendingReservations>,
}

/// Reservations of items that do not run yet.
#[derive(Default)]
struct PendingReservations {
    /// The reservation for the next input, before it is pulled.
    next: Option<BudgetReservation>,
    /// The reservations of inputs that have been pulled.
    pulled: Vec<BudgetReservation>,
}

impl StreamReservations {
    fn new(budget: Budget, ledger: Arc<BudgetLedger>) -> Self {
        StreamReservations { budget, ledger, pending: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, PendingReservations> {
        lock(&self.pending)
    }

    /// Polls for a reservation for another input.
    ///
    /// # Errors
    /// If there can never be one.
    pub(crate) fn poll_next(&self, task: &task::Context<'_>) -> Poll<Result<()>> {
        let mut pending = self.lock();
        if pending.next.is_some() {
            return Poll::Ready(Ok(()));
        }
        BudgetReservation::poll_reserve(&self.ledger, self.budget.estimate, task)
            .map_ok(|reservation| pending.next = Some(reservation))
    }

    /// Notes that the next input was pulled.
    pub(crate) fn enter(&self) {
        let mut pending = self.lock();
        let reservation = pending.next.take();
        pending.pulled.extend(reservation);
    }

    /// Returns the reservation for the next input: no input has come, and other calls may be able to use it.
    pub(crate) fn leave(&self) {
        let reservation = self.lock().next.take();
        drop(reservation);
    }

    /// Starts an item under a reservation. `has_begun` says whether its call has started; otherwise the step reports it.
    pub(crate) fn begin(&self, has_begun: bool) -> BudgetGuard {
        let reservation = self.lock().pulled.pop();
        // A second copy of an item has no reservation.
        let reservation = reservation.unwrap_or_else(|| BudgetReservation::empty(&self.ledger));
        BudgetGuard::new(reservation, has_begun)
    }
}
