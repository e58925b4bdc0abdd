//! Many timers in one task cost more each, the more there are.
//!
//! `join_all` over many futures is a `FuturesUnordered`. When the task has used up its share of time, tokio's futures ask
//! to be polled again, all of them, in each of its turns.
//!
//! <https://github.com/rust-lang/futures-rs/issues/2526>, <https://github.com/rust-lang/futures-rs/pull/2551>,
//! <https://github.com/tokio-rs/tokio/pull/7185>

use std::pin::Pin;
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use llmspell::{Context, Step, all, step};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::stopwatch::cpu_time;

pub const HAZARD: Hazard = Hazard {
    name: "many_timers",
    measured: "CPU time of 40,000 timers due at once, beside a task each",
    unit: "×",
    // The tasks of the same run measure the speed of the processor; a bound in µs would depend on it.
    guarantee: Guarantee::AtMost(2.5),
    clock: Clock::Real,
    by_hand: || Box::pin(beside_tasks(|at| Box::pin(by_hand(at)))),
    llmspell: || Box::pin(beside_tasks(|at| Box::pin(llmspell(at)))),
};

const MANY: usize = 40_000;

/// A function that starts all waits for one instant.
type Waits = fn(Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>;

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

/// Waits with a task for each timer, which is the best alternative and the unit of the figure.
async fn tasks(at: Instant) {
    (0..MANY).map(|_| sleep_until(at)).collect::<JoinSet<()>>().join_all().await;
}

/// Returns the cost of draining these timers, as a multiple of the cost of tasks.
async fn beside_tasks(waits: Waits) -> f64 {
    let tasks = drain(|at| Box::pin(tasks(at))).await;
    drain(waits).await.div_duration_f64(tasks)
}

/// Starts all the waits, lets all of them be over, and returns the CPU time it takes to find that out.
async fn drain(waits: Waits) -> Duration {
    let at = Instant::now() + Duration::from_millis(600);
    let pause = |until: Instant| thread::sleep(until.saturating_duration_since(Instant::now()));
    // On a task, as in the handler of a server.
    let task = tokio::spawn(async move {
        let mut work = waits(at);
        let _ = timeout(Duration::from_millis(1), &mut work).await;
        // Measure from before they are due, because another worker may begin with them while this one sleeps.
        pause(at - Duration::from_millis(10));
        let before = cpu_time();
        pause(at + Duration::from_millis(2));
        work.await;
        cpu_time() - before
    });
    task.await.unwrap_or_default()
}
