//! The semaphore under many interleavings of threads. A lost wake-up shows as a deadlock, which the scheduler reports
//! with the schedule that leads to it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Load, Semaphore};
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

/// Explores random schedules, and schedules with few preemptions: each finds errors that the other hardly finds.
fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A semaphore, and the number of permits that are held.
#[derive(Clone)]
struct TestSemaphore {
    semaphore: Arc<Semaphore<usize>>,
    inside: Arc<AtomicUsize>,
    max: usize,
}

impl TestSemaphore {
    fn new(capacity: usize, max: usize) -> Self {
        TestSemaphore { semaphore: Arc::new(Semaphore::new(capacity)), inside: Arc::default(), max }
    }

    fn enter(&self) {
        assert!(self.inside.fetch_add(1, Ordering::SeqCst) < self.max, "more than {} at once", self.max);
    }

    fn exit(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits for a permit, and releases it.
    fn acquire_and_release(&self, number: usize) {
        let (permit, _) = block_on(self.semaphore.acquire());
        self.enter();
        self.exit();
        if number == 0 { drop(permit) } else { permit.release_with(number) }
    }

    /// Polls once for a permit, and drops the future.
    fn abandon(&self) {
        let mut acquire = self.semaphore.acquire();
        let ready = pin!(&mut acquire).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        thread::yield_now();
        drop((acquire, ready));
    }

    fn orphan(&self) {
        let (permit, _) = block_on(self.semaphore.acquire());
        self.enter();
        permit.orphan();
        thread::yield_now();
        self.exit();
        self.semaphore.end_orphaned();
    }
}

fn run_threads(threads: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

macro_rules! threads {
    ($shared:ident: $($work:expr),+ $(,)?) => {
        run_threads([$({ let $shared = $shared.clone(); Box::new(move || $work) as Box<dyn FnOnce() + Send> }),+])
    };
}

#[test]
fn every_thread_gets_a_permit_and_the_capacity_is_kept() {
    explore(|| {
        let sem = TestSemaphore::new(2, 2);
        threads!(sem: sem.acquire_and_release(0), sem.acquire_and_release(1), sem.acquire_and_release(2), sem.acquire_and_release(3));
        assert_eq!(sem.semaphore.load(), Load { capacity: 2, available: 2, in_use: 0, waiting: 0, orphaned: 0 });
    });
}

#[test]
fn an_abandoned_wait_does_not_block_the_queue() {
    explore(|| {
        let sem = TestSemaphore::new(1, 1);
        threads!(sem: sem.acquire_and_release(0), sem.abandon(), sem.acquire_and_release(1), sem.abandon());
        assert_eq!(sem.semaphore.load(), Load { capacity: 1, available: 1, in_use: 0, waiting: 0, orphaned: 0 });
    });
}

#[test]
fn a_changing_capacity_loses_no_waiter() {
    explore(|| {
        let sem = TestSemaphore::new(1, 3);
        let resize =
            |sem: &TestSemaphore| [0, 3, 0, 2].iter().for_each(|capacity| sem.semaphore.resize(*capacity).wake());
        threads!(sem: sem.acquire_and_release(0), sem.acquire_and_release(1), sem.acquire_and_release(2), sem.abandon(), resize(&sem));
        assert_eq!(sem.semaphore.load(), Load { capacity: 2, available: 2, in_use: 0, waiting: 0, orphaned: 0 });
    });
}

#[test]
fn orphaned_permits_are_compensated_up_to_the_overdraft() {
    explore(|| {
        let sem = TestSemaphore::new(1, 2);
        sem.semaphore.set_overdraft(1);
        threads!(sem: sem.orphan(), sem.orphan(), sem.acquire_and_release(0), sem.acquire_and_release(1));
        assert_eq!(sem.semaphore.load(), Load { capacity: 1, available: 1, in_use: 0, waiting: 0, orphaned: 0 });
    });
}
