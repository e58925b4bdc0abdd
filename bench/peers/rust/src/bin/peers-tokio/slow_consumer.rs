//! A consumer that is slower than the steps before it.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use peers::probe::Probe;
use peers::{CONSUMED, CONSUMER, HALF_STEP, LIMIT, SOURCE, millis};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

async fn work(probe: Probe) -> Duration {
    let (running, started) = (probe.start(), Instant::now());
    sleep(HALF_STEP).await;
    sleep(HALF_STEP).await;
    running.finish();
    started.elapsed()
}

pub(crate) async fn join_set() -> Value {
    let (probe, started, mut longest) = (Probe::default(), Instant::now(), HALF_STEP);
    let (mut tasks, mut inputs) = (JoinSet::new(), 0..SOURCE);
    for _ in 0..CONSUMED {
        while tasks.len() < LIMIT && inputs.next().is_some() {
            tasks.spawn(work(probe.clone()));
        }
        let duration = tasks.join_next().await.expect("the source has more").expect("no panic");
        longest = longest.max(duration);
        sleep(CONSUMER).await;
    }
    report(&probe, longest, started)
}

pub(crate) async fn buffered() -> Value {
    let (probe, started, mut longest) = (Probe::default(), Instant::now(), HALF_STEP);
    let mut results = stream::iter(0..SOURCE).map(|_| work(probe.clone())).buffer_unordered(LIMIT);
    for _ in 0..CONSUMED {
        longest = longest.max(results.next().await.expect("the source has more"));
        sleep(CONSUMER).await;
    }
    report(&probe, longest, started)
}

fn report(probe: &Probe, longest: Duration, started: Instant) -> Value {
    let ahead = probe.started() - CONSUMED;
    json!({ "ahead": ahead, "longest_ms": millis(longest), "elapsed_ms": millis(started.elapsed()) })
}
