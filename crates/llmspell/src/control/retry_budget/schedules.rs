//! Callers that draw on a retry budget at the same time, under many interleavings of threads.

use std::sync::Arc;

use shuttle::thread;

use super::{RetryBudget, RetryPermit};
use crate::runtime::sync::atomic::{AtomicU64, Ordering};

const SCHEDULES: usize = 3000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// Runs three threads with two calls each. Each call takes two attempts, of which one is made and one is returned.
fn draw(share: f64, burst: u32) -> u64 {
    let budget = RetryBudget::builder(share).burst(burst).build();
    let made = Arc::new(AtomicU64::new(0));
    let callers = [0, 1, 2].map(|_| {
        let (budget, made) = (budget.clone(), made.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                budget.deposit();
                if budget.take().map(RetryPermit::spend).is_some() {
                    made.fetch_add(1, Ordering::Relaxed);
                }
                drop(budget.take());
            }
        })
    });
    callers.into_iter().for_each(|caller| caller.join().expect("it does not panic"));
    made.load(Ordering::Relaxed) + budget.available()
}

#[test]
fn no_two_callers_take_the_same_attempt() {
    // Six calls with half a share each.
    explore(|| assert!(draw(0.5, 1) <= 1 + 3));
}

#[test]
fn attempts_that_are_not_made_are_returned() {
    // Without shares the bucket never overflows: each attempt was made, or is still there.
    explore(|| assert_eq!(draw(0.0, 2), 2));
}
