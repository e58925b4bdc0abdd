//! A step over many inputs, with a limit on those in flight.

use llmspell::{Context, Result, Step, step};
use serde_json::{Value, json};

pub(crate) fn ready() -> impl Step<In = u64, Out = u64> {
    step(|n: u64, _| async move { Ok(n + 1) })
}

pub(crate) fn yielding() -> impl Step<In = u64, Out = u64> {
    step(|n: u64, _| async move {
        tokio::task::yield_now().await;
        Ok(n + 1)
    })
}

pub(crate) async fn run(items: u64, one_more: impl Step<In = u64, Out = u64>) -> Result<Value> {
    let mut outcomes = one_more.stream(0..items, &Context::new()).limit(peers::MAP_LIMIT);
    let mut sum = 0;
    while let Some(outcome) = outcomes.next().await {
        sum += outcome.result?;
    }
    assert_eq!(sum, items * (items + 1) / 2);
    Ok(json!({}))
}
