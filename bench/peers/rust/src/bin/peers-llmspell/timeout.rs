//! A call that blocks its thread and cannot be stopped: alone, tried again, and under a limit.

use std::time::Duration;

use llmspell::{Context, Result, Retry, Step, step};
use peers::probe::Probe;
use peers::{ATTEMPTS, STUBBORN, STUBBORN_CALLS, STUBBORN_LIMIT, TIMEOUT, millis};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

#[expect(clippy::disallowed_methods, reason = "it is the point of this work that it blocks its thread")]
fn block(probe: &Probe) {
    let alive = probe.enter();
    std::thread::sleep(STUBBORN);
    alive.finish();
}

fn stubborn(probe: &Probe) -> impl Step<In = (), Out = ()> {
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
    let (probe, cx, began) = (Probe::default(), Context::recording(), Instant::now());
    let call = stubborn(&probe).timeout(TIMEOUT).named("stubborn");
    let result = call.run((), &cx).await;
    let (free, running_then) = (began.elapsed(), probe.alive());
    assert!(result.is_err(), "it timed out");
    let counted: u64 = cx.report().steps.iter().map(|step| step.runaways).sum();
    ended(&probe).await;

    let (retried, began) = (Probe::default(), Instant::now());
    let call = stubborn(&retried).timeout(TIMEOUT).retry(Retry::immediately().max_attempts(ATTEMPTS));
    let result = call.run((), &Context::new()).await;
    let retry_free = began.elapsed();
    assert!(result.is_err(), "no attempt was in time");
    ended(&retried).await;

    let (limited, began) = (Probe::default(), Instant::now());
    let calls = stubborn(&limited).timeout(TIMEOUT).limit(STUBBORN_LIMIT);
    let calls = calls.stream((0..STUBBORN_CALLS).map(|_| ()), &Context::new()).limit(STUBBORN_CALLS);
    let outcomes = calls.collect().await;
    let limit_free = began.elapsed();
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()), "all of them timed out");
    ended(&limited).await;

    Ok(json!({
        "free_ms": millis(free), "running_then": running_then, "counted": counted,
        "retry_free_ms": millis(retry_free), "retry_made": retried.started(), "retry_most": retried.most(),
        "limit_free_ms": millis(limit_free), "limit_most": limited.most(),
    }))
}

/// Waits until no thread is at work any more.
async fn ended(probe: &Probe) {
    while probe.alive() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}
