//! The work on the items of a stream, as jobs of the worker pool.

use std::sync::{Arc, OnceLock};

use crate::context::{CallerGuard, Context, WorkGuard};
use crate::control::budget::{BudgetGuard, StreamReservations};
use crate::error::{Error, Result};
use crate::observe::outcome::Outcome;
use crate::runtime::executor::PoolTask;
use crate::runtime::sync::{Mutex, lock};
use crate::step::Step;

/// The step, the context and the budgets of all items of a stream.
pub(super) struct Items<S> {
    pub(super) step: Arc<S>,
    pub(super) cx: Context,
    /// The budgets of the items; unset without a budget.
    reservations: OnceLock<Arc<Mutex<Vec<Arc<StreamReservations>>>>>,
}

/// The budget guards of one item. Boxed, because most items have none.
struct ItemBudgets(Vec<BudgetGuard>);

impl ItemBudgets {
    fn end<T>(self, result: &Result<T>) {
        self.0.into_iter().for_each(|guard| guard.end(result.as_ref().err()));
    }
}

impl<S> Items<S> {
    pub(super) fn new(step: Arc<S>, cx: Context) -> Self {
        Items { step, cx, reservations: OnceLock::new() }
    }

    /// Returns the same work with another step.
    pub(super) fn with<T>(&self, step: Arc<T>) -> Items<T> {
        Items { step, cx: self.cx.clone(), reservations: self.reservations.clone() }
    }

    /// Adds a budget: each item runs under one of `reservations`.
    pub(super) fn add_reservations(&self, reservations: Arc<StreamReservations>) {
        lock(self.reservations.get_or_init(Arc::default)).push(reservations);
    }
}

impl<S: Step> Items<S> {
    /// Returns the budget guards of an item and its scope.
    fn start(&self, index: usize) -> (Option<Box<ItemBudgets>>, Context) {
        let Some(reservations) = self.reservations.get() else { return (None, self.cx.scope(Some(index))) };
        let has_started = !self.step.info().reports_start;
        if has_started {
            self.cx.report_start();
        }
        let guards: Vec<BudgetGuard> =
            lock(reservations).iter().map(|reservations| reservations.begin(has_started)).collect();
        let cx = guards.iter().fold(self.cx.clone(), |cx, guard| cx.with_meter(guard.meter()));
        (Some(Box::new(ItemBudgets(guards))), cx.scope(Some(index)))
    }
}

impl<S: Step> PoolTask for Items<S> {
    type Input = S::In;
    type Out = Outcome<S::Out>;
    type CallerGuard = CallerGuard;
    type WorkGuard = WorkGuard;

    fn run(&self, index: usize, input: S::In) -> impl Future<Output = Outcome<S::Out>> + Send {
        let (budgets, cx) = self.start(index);
        async move {
            let result = self.step.run(input, &cx).await;
            if let Some(budgets) = budgets {
                budgets.end(&result);
            }
            cx.outcome(index, result)
        }
    }

    fn lost(&self, index: usize, error: Error) -> Outcome<S::Out> {
        Outcome::plain(index, Err(error.at(|| self.cx.path())))
    }
}
