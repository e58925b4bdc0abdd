//! A call that blocks its thread and cannot be cancelled: alone, with retries, and under a limit.

use std::sync::Arc;
use std::time::Duration;

use peers::probe::Probe;
use peers::{ATTEMPTS, TIMEOUT, UNCANCELLABLE_CALLS, UNCANCELLABLE_LIMIT, UNCANCELLABLE_TIME, millis};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// Blocks a thread. The permit moves to the thread, so that it lasts as long as the work. If the timeout dropped it,
/// more calls than the limit would run.
async fn uncancellable(probe: Probe, permit: Option<OwnedSemaphorePermit>) {
    let thread = spawn_blocking(move || {
        let running = probe.start();
        std::thread::sleep(UNCANCELLABLE_TIME);
        running.finish();
        drop(permit);
    });
    thread.await.expect("no panic");
}

pub(crate) async fn run() -> Value {
    let (probe, started) = (Probe::default(), Instant::now());
    assert!(timeout(TIMEOUT, uncancellable(probe.clone(), None)).await.is_err(), "the call must time out");
    let (free, running_then) = (started.elapsed(), probe.running());
    ended(&probe).await;

    let (retried, started) = (Probe::default(), Instant::now());
    for _ in 0..ATTEMPTS {
        if timeout(TIMEOUT, uncancellable(retried.clone(), None)).await.is_ok() {
            break;
        }
    }
    let retry_free = started.elapsed();
    ended(&retried).await;

    let (limited, started) = (Probe::default(), Instant::now());
    let permits = Arc::new(Semaphore::new(UNCANCELLABLE_LIMIT));
    let mut calls = JoinSet::new();
    for _ in 0..UNCANCELLABLE_CALLS {
        let (limited, permits) = (limited.clone(), permits.clone());
        calls.spawn(async move {
            let permit = permits.acquire_owned().await.expect("never closed");
            timeout(TIMEOUT, uncancellable(limited, Some(permit))).await
        });
    }
    let outcomes = calls.join_all().await;
    let limit_free = started.elapsed();
    assert!(outcomes.iter().all(Result::is_err), "every call must time out");
    ended(&limited).await;

    json!({
        "free_ms": millis(free), "running_then": running_then,
        "retry_free_ms": millis(retry_free), "retry_made": retried.started(), "retry_most": retried.peak(),
        "limit_free_ms": millis(limit_free), "limit_most": limited.peak(),
    })
}

/// Waits until no thread is running.
async fn ended(probe: &Probe) {
    while probe.running() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}
