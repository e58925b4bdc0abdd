//! Retries that are nested multiply.
//!
//! The client retries, so does the tool that uses it, and so does the agent: three attempts in each of three layers are
//! twenty-seven calls of a service that is down.
//!
//! <https://github.com/HKUDS/nanobot/issues/2760>, <https://github.com/livekit/agents/pull/5335>

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use llmspell::{Context, Error, Retry, Step, step};

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "nested_retries",
    measured: "calls made by three layers of three attempts",
    unit: "calls",
    guarantee: Guarantee::AtMost(3.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

async fn attempts(times: u32, work: impl AsyncFn() -> Result<(), &'static str>) -> Result<(), &'static str> {
    let mut last = Ok(());
    for _ in 0..times {
        last = work().await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn by_hand() -> f64 {
    let calls = AtomicU32::new(0);
    let call = async || {
        calls.fetch_add(1, Ordering::Relaxed);
        Err("busy")
    };
    let client = async || attempts(3, &call).await;
    let tool = async || attempts(3, &client).await;
    let _ = attempts(3, &tool).await;
    calls.load(Ordering::Relaxed).into()
}

async fn llmspell() -> f64 {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = calls.clone();
    let call = step(move |(), _| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(Error::failed("busy").transient()) }
    });
    let policy = || Retry::immediately().max_attempts(3);
    let _ = call
        .retry(policy())
        .named("client")
        .retry(policy())
        .named("tool")
        .retry(policy())
        .run((), &Context::new())
        .await;
    calls.load(Ordering::Relaxed).into()
}
