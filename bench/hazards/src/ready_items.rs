//! A timeout around items that are always ready never goes off.
//!
//! Streams of futures do not take part in tokio's sharing of time: if nothing in the loop ever waits, the task never
//! gives way, and the timer is not looked at. (Here the source ends after half a second, or so would nothing else.)
//!
//! <https://github.com/rust-lang/futures-rs/issues/2047>, <https://github.com/tokio-rs/tokio/issues/4291>

use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::time::{Instant, timeout};

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::stopwatch::Stopwatch;

pub const HAZARD: Hazard = Hazard {
    name: "ready_items",
    measured: "lateness of a timeout of 20 ms around items always ready",
    unit: "ms",
    guarantee: Guarantee::AtMost(30.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const TIME: Duration = Duration::from_millis(20);
const SOURCE: Duration = Duration::from_millis(500);

fn inputs() -> impl Iterator<Item = u64> + Send {
    let started = Instant::now();
    (0..).take_while(move |_| started.elapsed() < SOURCE)
}

async fn by_hand() -> f64 {
    let clock = Stopwatch::start();
    let all = async {
        let mut items = stream::iter(inputs()).map(|n| async move { n }).buffer_unordered(8);
        while items.next().await.is_some() {}
    };
    let _ = timeout(TIME, all).await;
    clock.elapsed().saturating_sub(TIME).as_secs_f64() * 1e3
}

async fn llmspell() -> f64 {
    let clock = Stopwatch::start();
    let all = async {
        let mut items = step(|n: u64, _| async move { Ok(n) }).stream(inputs(), &Context::new()).limit(8);
        while items.next().await.is_some() {}
    };
    let _ = timeout(TIME, all).await;
    clock.elapsed().saturating_sub(TIME).as_secs_f64() * 1e3
}
