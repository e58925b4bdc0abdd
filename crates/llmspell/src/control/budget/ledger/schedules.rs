//! The line before a budget under many interleavings of threads. A wake-up that is lost shows as a deadlock, which the
//! scheduler reports with the schedule that leads to it.

use std::pin::pin;
use std::sync::Arc;
use std::task;

use shuttle::future::block_on;
use shuttle::thread;

use super::super::caps::Caps;
use super::{BudgetLedger, Waker};
use crate::context::Context;
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 2000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A budget for so many calls of one token each, and how many are under it.
#[derive(Clone)]
struct Watched {
    purse: Arc<BudgetLedger>,
    inside: Arc<AtomicUsize>,
    most: usize,
}

const ONE: Option<Usage> = Some(Usage::new(1, 0));

impl Watched {
    fn new(most: usize) -> Self {
        let caps = Caps { tokens: Some(most as u64), cost: None };
        Watched { purse: Arc::new(BudgetLedger::new(caps)), inside: Arc::default(), most }
    }

    /// Waits, works, and uses nothing.
    fn work(&self) {
        let (ticket, _) = block_on(self.purse.reserve(ONE, &Context::new(), None)).expect("nothing is ever spent");
        assert!(self.inside.fetch_add(1, Ordering::SeqCst) < self.most, "more than {} at once", self.most);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        drop(ticket);
    }

    /// Asks, looks once, and goes away with whatever it has.
    fn give_up(&self) {
        let cx = Context::new();
        let mut reserves = Box::pin(self.purse.reserve(ONE, &cx, None));
        let ready = pin!(&mut reserves).poll(&mut task::Context::from_waker(Waker::noop())).is_ready();
        thread::yield_now();
        drop((reserves, ready));
    }
}

fn together(threads: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

fn run(most: usize, workers: usize, quitters: usize) {
    let it = Watched::new(most);
    let works = (0..workers).map(|_| it.clone()).map(|it| Box::new(move || it.work()) as Box<dyn FnOnce() + Send>);
    let quits = (0..quitters).map(|_| it.clone()).map(|it| Box::new(move || it.give_up()) as Box<dyn FnOnce() + Send>);
    together(works.chain(quits));
    assert_eq!((it.purse.taken(), it.purse.waiting()), (Usage::default(), 0));
}

#[test]
fn everybody_gets_a_reservation_and_nobody_too_many() {
    explore(|| run(2, 4, 0));
}

#[test]
fn whoever_goes_away_holds_up_nobody() {
    explore(|| run(1, 2, 2));
}
