//! The queue of a budget under many interleavings of threads. A lost wake-up shows as a deadlock, which the scheduler
//! reports with the schedule that leads to it.

use std::pin::pin;
use std::sync::Arc;
use std::task;

use shuttle::future::block_on;
use shuttle::thread;

use super::super::caps::Caps;
use super::super::reservation::BudgetReservation;
use super::{BudgetLedger, Waker};
use crate::context::Context;
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 2000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A budget for `max` calls of one token each, and the number of calls that hold a reservation.
#[derive(Clone)]
struct TestBudget {
    ledger: Arc<BudgetLedger>,
    inside: Arc<AtomicUsize>,
    max: usize,
}

const ONE: Option<Usage> = Some(Usage::new(1, 0));

impl TestBudget {
    fn new(max: usize) -> Self {
        let caps = Caps { tokens: Some(max as u64), cost: None };
        TestBudget { ledger: Arc::new(BudgetLedger::new(caps)), inside: Arc::default(), max }
    }

    /// Waits for a reservation, and releases it unused.
    fn reserve_and_release(&self) {
        let (reservation, _) = block_on(BudgetReservation::reserve(&self.ledger, ONE, &Context::new(), None))
            .expect("nothing is ever spent");
        assert!(self.inside.fetch_add(1, Ordering::SeqCst) < self.max, "more than {} at once", self.max);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        drop(reservation);
    }

    /// Polls once for a reservation, and drops the future or the reservation.
    fn abandon(&self) {
        let cx = Context::new();
        let mut reserves = Box::pin(BudgetReservation::reserve(&self.ledger, ONE, &cx, None));
        let ready = pin!(&mut reserves).poll(&mut task::Context::from_waker(Waker::noop())).is_ready();
        thread::yield_now();
        drop((reserves, ready));
    }
}

fn run_threads(threads: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

fn run(max: usize, workers: usize, quitters: usize) {
    let budget = TestBudget::new(max);
    let workers = (0..workers)
        .map(|_| budget.clone())
        .map(|budget| Box::new(move || budget.reserve_and_release()) as Box<dyn FnOnce() + Send>);
    let quitters = (0..quitters)
        .map(|_| budget.clone())
        .map(|budget| Box::new(move || budget.abandon()) as Box<dyn FnOnce() + Send>);
    run_threads(workers.chain(quitters));
    assert_eq!((budget.ledger.committed(), budget.ledger.waiting()), (Usage::default(), 0));
}

#[test]
fn every_call_gets_a_reservation_and_the_cap_is_kept() {
    explore(|| run(2, 4, 0));
}

#[test]
fn an_abandoned_wait_does_not_block_the_queue() {
    explore(|| run(1, 2, 2));
}
