//! Calls that end at the same time, under many interleavings of threads.

use std::sync::Arc;

use shuttle::thread;

use super::{Adapting, Adaptive};
use crate::context::Context;
use crate::error::Error;

const SCHEDULES: usize = 3000;

/// Each of three threads has three calls under way together, and all of them are refused: each lowers the limit by one.
fn race() {
    let adapting = Arc::new(Adapting::new(Adaptive::aimd().initial(20)));
    let callers = [0; 3].map(|_| {
        let adapting = adapting.clone();
        thread::spawn(move || {
            let cx = Context::new();
            let watched = [0; 3].map(|_| adapting.begin(&cx));
            for call in watched {
                call.end(&Err::<(), _>(Error::overloaded("429")), &cx);
            }
        })
    });
    for _ in 0..3 {
        let (limit, permits) = adapting.both();
        assert_eq!(limit, permits, "a limit that was found before is never applied after");
        thread::yield_now();
    }
    callers.into_iter().for_each(|caller| caller.join().expect("it does not panic"));
    let (limit, permits) = adapting.both();
    assert_eq!(limit, permits, "what is true is what is left behind");
}

#[test]
fn permits_are_as_many_as_the_limit_at_every_moment() {
    shuttle::check_random(race, SCHEDULES);
    shuttle::check_pct(race, SCHEDULES, 3);
}
