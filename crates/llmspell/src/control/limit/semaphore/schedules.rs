//! The semaphore under many interleavings of threads. A wake-up that is lost shows as a deadlock, which the
//! scheduler reports with the schedule that leads to it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Load, Semaphore};
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

/// Threads at random, and threads of which one is held up at a few points at most: each finds what the other
/// hardly does.
fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A semaphore, and how many are under it.
#[derive(Clone)]
struct Watched {
    semaphore: Arc<Semaphore<usize>>,
    inside: Arc<AtomicUsize>,
    most: usize,
}

impl Watched {
    fn new(capacity: usize, most: usize) -> Self {
        Watched { semaphore: Arc::new(Semaphore::new(capacity)), inside: Arc::default(), most }
    }

    fn enter(&self) {
        assert!(self.inside.fetch_add(1, Ordering::SeqCst) < self.most, "more than {} at once", self.most);
    }

    fn exit(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    /// Asks, waits, works, and gives the permit back.
    fn work(&self, number: usize) {
        let (permit, _) = block_on(self.semaphore.acquire());
        self.enter();
        self.exit();
        if number == 0 { drop(permit) } else { permit.give_back(number) }
    }

    /// Asks, looks once, and goes away.
    fn give_up(&self) {
        let mut acquire = self.semaphore.acquire();
        let ready = pin!(&mut acquire).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        thread::yield_now();
        drop((acquire, ready));
    }

    fn stray(&self) {
        let (permit, _) = block_on(self.semaphore.acquire());
        self.enter();
        permit.stray();
        thread::yield_now();
        self.exit();
        self.semaphore.end_stray();
    }
}

fn together(threads: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

macro_rules! threads {
    ($shared:ident: $($work:expr),+ $(,)?) => {
        together([$({ let $shared = $shared.clone(); Box::new(move || $work) as Box<dyn FnOnce() + Send> }),+])
    };
}

#[test]
fn everybody_gets_a_permit_and_nobody_too_many() {
    explore(|| {
        let it = Watched::new(2, 2);
        threads!(it: it.work(0), it.work(1), it.work(2), it.work(3));
        assert_eq!(it.semaphore.load(), Load { capacity: 2, available: 2, in_use: 0, waiting: 0, strays: 0 });
    });
}

#[test]
fn whoever_goes_away_holds_up_nobody() {
    explore(|| {
        let it = Watched::new(1, 1);
        threads!(it: it.work(0), it.give_up(), it.work(1), it.give_up());
        assert_eq!(it.semaphore.load(), Load { capacity: 1, available: 1, in_use: 0, waiting: 0, strays: 0 });
    });
}

#[test]
fn a_capacity_that_changes_forgets_nobody() {
    explore(|| {
        let it = Watched::new(1, 3);
        let resize = |it: &Watched| [0, 3, 0, 2].iter().for_each(|capacity| it.semaphore.resize(*capacity).wake());
        threads!(it: it.work(0), it.work(1), it.work(2), it.give_up(), resize(&it));
        assert_eq!(it.semaphore.load(), Load { capacity: 2, available: 2, in_use: 0, waiting: 0, strays: 0 });
    });
}

#[test]
fn strays_are_made_up_for_as_far_as_the_overdraft_goes() {
    explore(|| {
        let it = Watched::new(1, 2);
        it.semaphore.set_overdraft(1);
        threads!(it: it.stray(), it.stray(), it.work(0), it.work(1));
        assert_eq!(it.semaphore.load(), Load { capacity: 1, available: 1, in_use: 0, waiting: 0, strays: 0 });
    });
}
