//! The work on the items of a stream.

use std::sync::{Arc, OnceLock};

use crate::context::Context;
use crate::control::budget::{BudgetGuard, StreamReservations};
use crate::error::{Error, Result};
use crate::observe::outcome::Outcome;
use crate::runtime::executor::PoolTask;
use crate::runtime::sync::{Mutex, lock};
use crate::step::Step;

pub(super) struct Items<S> {
    pub(super) step: Arc<S>,
    pub(super) cx: Context,
    /// The budgets of the items, if they have any.
    seats: OnceLock<Arc<Mutex<Vec<Arc<StreamReservations>>>>>,
}

/// An item as its budgets see it. Behind a pointer, because most items have none.
struct Calls(Vec<BudgetGuard>);

impl Calls {
    fn end<T>(self, result: &Result<T>) {
        self.0.into_iter().for_each(|call| call.end(result.as_ref().err()));
    }
}

impl<S> Items<S> {
    pub(super) fn new(step: Arc<S>, cx: Context) -> Self {
        Items { step, cx, seats: OnceLock::new() }
    }

    /// The same with another step.
    pub(super) fn with<T>(&self, step: Arc<T>) -> Items<T> {
        Items { step, cx: self.cx.clone(), seats: self.seats.clone() }
    }

    /// Lets each item run under one of `seats`.
    pub(super) fn seat(&self, seats: Arc<StreamReservations>) {
        lock(self.seats.get_or_init(Arc::default)).push(seats);
    }
}

impl<S: Step> Items<S> {
    /// The scope of an item, and the reservations that it runs under.
    fn begin(&self, index: usize) -> (Option<Box<Calls>>, Context) {
        let Some(seats) = self.seats.get() else { return (None, self.cx.scope(Some(index))) };
        let has_begun = !self.step.info().reports_start;
        if has_begun {
            self.cx.begun();
        }
        let calls: Vec<BudgetGuard> = lock(seats).iter().map(|seats| seats.begin(has_begun)).collect();
        let cx = calls.iter().fold(self.cx.clone(), |cx, call| cx.metered(call.meter()));
        (Some(Box::new(Calls(calls))), cx.scope(Some(index)))
    }
}

impl<S: Step> PoolTask for Items<S> {
    type Input = S::In;
    type Out = Outcome<S::Out>;

    fn run(&self, index: usize, input: S::In) -> impl Future<Output = Outcome<S::Out>> + Send {
        let (calls, cx) = self.begin(index);
        async move {
            let result = self.step.run(input, &cx).await;
            if let Some(calls) = calls {
                calls.end(&result);
            }
            Outcome::new(index, result, &cx)
        }
    }

    fn lost(&self, index: usize, error: Error) -> Outcome<S::Out> {
        Outcome::plain(index, Err(error.at(|| self.cx.path())))
    }
}
