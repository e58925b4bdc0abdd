//! Work that becomes useless because an item has failed.

use llmspell::{Context, Error, Result, Step, step};
use peers::probe::Probe;
use peers::{AFTERMATH, FAILS, FALLIBLE, FALLIBLE_STEP, LIMIT, millis};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub(crate) async fn run() -> Result<Value> {
    let probe = Probe::default();
    let counts = probe.clone();
    let work = step(move |item: usize, _| {
        let probe = counts.clone();
        async move {
            let running = probe.start();
            sleep(FALLIBLE_STEP).await;
            if item == FAILS {
                return Err(Error::failed("no"));
            }
            running.finish();
            Ok(item)
        }
    });

    let start = Instant::now();
    let results = work.stream(0..FALLIBLE, &Context::new()).limit(LIMIT).try_collect().await;
    let known = start.elapsed();
    assert!(results.is_err(), "the error must be returned");
    let (started, finished) = (probe.started(), probe.finished());
    sleep(AFTERMATH).await;
    Ok(json!({
        "error_ms": millis(known),
        "started_after": probe.started() - started,
        "finished_after": probe.finished() - finished,
    }))
}
