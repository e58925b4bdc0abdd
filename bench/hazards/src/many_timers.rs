//! Many timers in one task cost more each, the more there are.
//!
//! `join_all` over many futures is a `FuturesUnordered`. When the task has used up its share of time, tokio's futures ask
//! to be polled again, all of them, in each of its turns.
//!
//! <https://github.com/rust-lang/futures-rs/issues/2526>, <https://github.com/rust-lang/futures-rs/pull/2551>,
//! <https://github.com/tokio-rs/tokio/pull/7185>

use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use llmspell::{Context, Step, all, step};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until, timeout};

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "many_timers",
    measured: "CPU time for each of 40,000 timers that end at once",
    unit: "µs",
    // A debug build takes several times as long.
    guarantee: Guarantee::AtMost(if cfg!(debug_assertions) { 10.0 } else { 2.0 }),
    clock: Clock::Real,
    by_hand: || Box::pin(drain(|at| Box::pin(by_hand(at)))),
    llmspell: || Box::pin(drain(|at| Box::pin(llmspell(at)))),
};

const MANY: usize = 40_000;

async fn by_hand(at: Instant) {
    join_all((0..MANY).map(|_| sleep_until(at))).await;
}

async fn llmspell(at: Instant) {
    let wait = || {
        step(move |(), _| async move {
            sleep_until(at).await;
            Ok(())
        })
    };
    let group = all((0..MANY).map(|_| wait()));
    assert!(group.run((), &Context::new()).await.is_ok(), "nothing fails");
}

/// The CPU time of the process: nothing else is going on in it.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Starts all the waits, lets all of them be over, and measures what it costs to find that out.
async fn drain(waits: fn(Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>) -> f64 {
    let at = Instant::now() + Duration::from_millis(600);
    // On a task, as in the handler of a server.
    let task = tokio::spawn(async move {
        let mut work = waits(at);
        let _ = timeout(Duration::from_millis(1), &mut work).await;
        std::thread::sleep((at + Duration::from_millis(2)).saturating_duration_since(Instant::now()));
        let before = cpu_time();
        work.await;
        cpu_time() - before
    });
    let cost = task.await.unwrap_or_default();
    cost.as_secs_f64() * 1e6 / MANY as f64
}
