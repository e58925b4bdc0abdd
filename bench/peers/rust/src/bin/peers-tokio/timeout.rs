//! A call that blocks its thread and cannot be stopped: alone, tried again, and under a limit.

use std::sync::Arc;
use std::time::Duration;

use peers::probe::Probe;
use peers::{ATTEMPTS, STUBBORN, STUBBORN_CALLS, STUBBORN_LIMIT, TIMEOUT, millis};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// The permit goes to the thread, so that it lasts as long as the work: whoever drops it with the timeout
/// exceeds the limit.
async fn stubborn(probe: Probe, permit: Option<OwnedSemaphorePermit>) {
    let thread = spawn_blocking(move || {
        let alive = probe.enter();
        std::thread::sleep(STUBBORN);
        alive.finish();
        drop(permit);
    });
    thread.await.expect("no panic");
}

pub(crate) async fn run() -> Value {
    let (probe, began) = (Probe::default(), Instant::now());
    assert!(timeout(TIMEOUT, stubborn(probe.clone(), None)).await.is_err(), "it timed out");
    let (free, running_then) = (began.elapsed(), probe.alive());
    ended(&probe).await;

    let (retried, began) = (Probe::default(), Instant::now());
    for _ in 0..ATTEMPTS {
        if timeout(TIMEOUT, stubborn(retried.clone(), None)).await.is_ok() {
            break;
        }
    }
    let retry_free = began.elapsed();
    ended(&retried).await;

    let (limited, began) = (Probe::default(), Instant::now());
    let permits = Arc::new(Semaphore::new(STUBBORN_LIMIT));
    let mut calls = JoinSet::new();
    for _ in 0..STUBBORN_CALLS {
        let (limited, permits) = (limited.clone(), permits.clone());
        calls.spawn(async move {
            let permit = permits.acquire_owned().await.expect("never closed");
            timeout(TIMEOUT, stubborn(limited, Some(permit))).await
        });
    }
    let outcomes = calls.join_all().await;
    let limit_free = began.elapsed();
    assert!(outcomes.iter().all(Result::is_err), "all of them timed out");
    ended(&limited).await;

    json!({
        "free_ms": millis(free), "running_then": running_then,
        "retry_free_ms": millis(retry_free), "retry_made": retried.started(), "retry_most": retried.most(),
        "limit_free_ms": millis(limit_free), "limit_most": limited.most(),
    })
}

/// Waits until no thread is at work any more.
async fn ended(probe: &Probe) {
    while probe.alive() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}
