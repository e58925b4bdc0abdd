//! A call that blocks its thread and cannot be cancelled: alone, with retries, and under a limit.

use std::time::Duration;

use llmspell::{Context, Result, Retry, Step, step};
use peers::probe::Probe;
use peers::{ATTEMPTS, TIMEOUT, UNCANCELLABLE_CALLS, UNCANCELLABLE_LIMIT, UNCANCELLABLE_TIME, millis};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

#[expect(clippy::disallowed_methods, reason = "this work must block its thread")]
fn block(probe: &Probe) {
    let running = probe.start();
    std::thread::sleep(UNCANCELLABLE_TIME);
    running.finish();
}

fn uncancellable(probe: &Probe) -> impl Step<In = (), Out = ()> {
    let probe = probe.clone();
    step(move |(), cx: Context| {
        let probe = probe.clone();
        async move {
            cx.blocking(move |_| {
                block(&probe);
                Ok(())
            })
            .await
        }
    })
}

pub(crate) async fn run() -> Result<Value> {
    let (probe, cx, started) = (Probe::default(), Context::recording(), Instant::now());
    let call = uncancellable(&probe).timeout(TIMEOUT).named("uncancellable");
    let result = call.run((), &cx).await;
    let (free, running_then) = (started.elapsed(), probe.running());
    assert!(result.is_err(), "the call must time out");
    let counted: u64 = cx.report().steps.iter().map(|step| step.runaways).sum();
    ended(&probe).await;

    let (retried, started) = (Probe::default(), Instant::now());
    let call = uncancellable(&retried).timeout(TIMEOUT).retry(Retry::immediately().max_attempts(ATTEMPTS));
    let result = call.run((), &Context::new()).await;
    let retry_free = started.elapsed();
    assert!(result.is_err(), "every attempt must time out");
    ended(&retried).await;

    let (limited, started) = (Probe::default(), Instant::now());
    let calls = uncancellable(&limited).timeout(TIMEOUT).limit(UNCANCELLABLE_LIMIT);
    let calls = calls.stream((0..UNCANCELLABLE_CALLS).map(|_| ()), &Context::new()).limit(UNCANCELLABLE_CALLS);
    let outcomes = calls.collect().await;
    let limit_free = started.elapsed();
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()), "every call must time out");
    ended(&limited).await;

    Ok(json!({
        "free_ms": millis(free), "running_then": running_then, "counted": counted,
        "retry_free_ms": millis(retry_free), "retry_made": retried.started(), "retry_most": retried.peak(),
        "limit_free_ms": millis(limit_free), "limit_most": limited.peak(),
    }))
}

/// Waits until no thread is running.
async fn ended(probe: &Probe) {
    while probe.running() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}
