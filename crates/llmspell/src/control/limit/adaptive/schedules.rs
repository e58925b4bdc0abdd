//! Calls that end at the same time, under many interleavings of threads.

use std::sync::Arc;

use shuttle::thread;

use super::{Adaptive, AdaptiveLimit};
use crate::context::Context;
use crate::error::Error;

const SCHEDULES: usize = 3000;

/// Runs three threads with three calls each, all of which are rejected: each rejection lowers the limit by one.
fn race() {
    let limit = Arc::new(AdaptiveLimit::new(Adaptive::aimd().initial(20)));
    let callers = [0; 3].map(|_| {
        let limit = limit.clone();
        thread::spawn(move || {
            let cx = Context::new();
            let calls = [0; 3].map(|_| limit.start_call(&cx));
            for call in calls {
                call.end(&Err::<(), _>(Error::overloaded("429")), &cx);
            }
        })
    });
    for _ in 0..3 {
        let (limit, capacity) = limit.limit_and_capacity();
        assert_eq!(limit, capacity, "limits are applied in the order in which they were found");
        thread::yield_now();
    }
    callers.into_iter().for_each(|caller| caller.join().expect("it does not panic"));
    let (limit, capacity) = limit.limit_and_capacity();
    assert_eq!(limit, capacity, "the last limit is the applied one");
}

#[test]
fn the_capacity_equals_the_limit_at_every_moment() {
    shuttle::check_random(race, SCHEDULES);
    shuttle::check_pct(race, SCHEDULES, 3);
}
