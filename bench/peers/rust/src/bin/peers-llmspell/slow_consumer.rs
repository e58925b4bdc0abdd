//! A consumer that is slower than the steps before it.

use llmspell::{Context, Result, Step, step};
use peers::probe::Probe;
use peers::{CONSUMED, CONSUMER, HALF_STEP, LIMIT, SOURCE, millis};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub(crate) async fn run() -> Result<Value> {
    let probe = Probe::default();
    let counts = probe.clone();
    let work = step(move |_: usize, _| {
        let probe = counts.clone();
        async move {
            let (running, started) = (probe.start(), Instant::now());
            sleep(HALF_STEP).await;
            sleep(HALF_STEP).await;
            running.finish();
            Ok(started.elapsed())
        }
    });

    let (started, mut longest) = (Instant::now(), HALF_STEP);
    let mut outcomes = work.stream(0..SOURCE, &Context::new()).limit(LIMIT);
    for _ in 0..CONSUMED {
        let outcome = outcomes.next().await.expect("the source has more");
        longest = longest.max(outcome.result?);
        sleep(CONSUMER).await;
    }
    let ahead = probe.started() - CONSUMED;
    Ok(json!({ "ahead": ahead, "longest_ms": millis(longest), "elapsed_ms": millis(started.elapsed()) }))
}
