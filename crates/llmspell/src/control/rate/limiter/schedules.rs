//! The queue of a rate under many interleavings of threads, while time stands still: calls can only get what others
//! refund. A lost wake-up shows as a deadlock, which the scheduler reports with the schedule that leads to it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use super::super::settings::{Quota, RateSettings};
use super::{Admission, Admit, RateLimiter, WaiterPoll, Waker};
use crate::error::Result;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 2000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A rate of one call per century, and the number of calls that are admitted.
#[derive(Clone)]
struct TestRate {
    limiter: Arc<RateLimiter>,
    inside: Arc<AtomicUsize>,
}

const CENTURY: Duration = Duration::from_secs(3_000_000_000);

impl TestRate {
    fn new(max_pause: Duration) -> Self {
        let requests = Some(Quota::new(1, CENTURY));
        let settings = RateSettings { requests, tokens: None, burst: Some(Duration::ZERO), max_pause };
        TestRate { limiter: Arc::new(RateLimiter::new(&settings)), inside: Arc::default() }
    }

    fn acquire(&self) -> Result<Admission> {
        let mut waiting = match self.limiter.try_acquire(0, None)? {
            Admit::Admitted(admission) => return Ok(admission),
            Admit::Queued(waiting) => waiting,
        };
        block_on(poll_fn(|task| match waiting.poll_once(task.waker()) {
            WaiterPoll::Ready(result) => Poll::Ready(result),
            WaiterPoll::Pending | WaiterPoll::PendingUntil(_) => Poll::Pending,
        }))
    }

    /// Waits for an admission, and refunds it.
    fn acquire_and_refund(&self) {
        let Ok(admission) = self.acquire() else { return };
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "there is one admission");
        self.inside.fetch_sub(1, Ordering::SeqCst);
        self.limiter.refund(0, admission.pauses);
    }

    /// Polls once for an admission, and drops the future or the admission.
    fn abandon(&self) {
        match self.limiter.try_acquire(0, None) {
            Ok(Admit::Admitted(admission)) => self.limiter.refund(0, admission.pauses),
            Ok(Admit::Queued(mut waiting)) => {
                if let WaiterPoll::Ready(Ok(admission)) = waiting.poll_once(Waker::noop()) {
                    self.limiter.refund(0, admission.pauses);
                }
                thread::yield_now();
            }
            Err(_) => {}
        }
    }
}

type Thread = Box<dyn FnOnce() + Send>;

fn run_threads(threads: impl IntoIterator<Item = Thread>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

fn threads(rate: &TestRate, count: usize, run: fn(&TestRate)) -> impl Iterator<Item = Thread> {
    (0..count).map(move |_| rate.clone()).map(move |rate| Box::new(move || run(&rate)) as Thread)
}

#[test]
fn every_call_is_admitted_and_an_abandoned_wait_does_not_block_the_queue() {
    explore(|| {
        let rate = TestRate::new(CENTURY * 10);
        run_threads(threads(&rate, 3, TestRate::acquire_and_refund).chain(threads(&rate, 2, TestRate::abandon)));
        assert_eq!(rate.limiter.waiting(), 0);
        assert!(
            matches!(rate.limiter.try_acquire(0, None), Ok(Admit::Admitted(_))),
            "the admission is available again"
        );
    });
}

#[test]
fn a_pause_that_is_too_long_rejects_every_waiter() {
    explore(|| {
        let rate = TestRate::new(Duration::ZERO);
        let pause: Thread = {
            let rate = rate.clone();
            Box::new(move || assert!(rate.limiter.pause(CENTURY, 0)))
        };
        run_threads(
            threads(&rate, 3, TestRate::acquire_and_refund).chain(threads(&rate, 1, TestRate::abandon)).chain([pause]),
        );
        assert_eq!(rate.limiter.waiting(), 0);
        assert!(rate.limiter.try_acquire(0, None).is_err());
    });
}
