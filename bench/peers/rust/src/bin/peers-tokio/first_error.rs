//! Work that becomes useless because an item has failed.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use peers::probe::Probe;
use peers::{AFTERMATH, FAILS, FALLIBLE, FALLIBLE_STEP, LIMIT, millis};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

async fn work(item: usize, probe: Probe) -> Result<usize, &'static str> {
    let running = probe.start();
    sleep(FALLIBLE_STEP).await;
    if item == FAILS {
        return Err("no");
    }
    running.finish();
    Ok(item)
}

pub(crate) async fn join_set() -> Value {
    let (probe, start) = (Probe::default(), Instant::now());
    let result = limited(&probe).await;
    assert!(result.is_err(), "the error must be returned");
    aftermath(&probe, start.elapsed()).await
}

/// Runs at most [`LIMIT`] tasks. The first error drops the set, which aborts them.
async fn limited(probe: &Probe) -> Result<Vec<usize>, &'static str> {
    let (mut tasks, mut inputs, mut results) = (JoinSet::new(), 0..FALLIBLE, Vec::new());
    loop {
        while tasks.len() < LIMIT
            && let Some(item) = inputs.next()
        {
            tasks.spawn(work(item, probe.clone()));
        }
        match tasks.join_next().await {
            Some(result) => results.push(result.expect("no panic")?),
            None => return Ok(results),
        }
    }
}

pub(crate) async fn buffered() -> Value {
    let (probe, start) = (Probe::default(), Instant::now());
    let items = stream::iter(0..FALLIBLE).map(|item| work(item, probe.clone()));
    let result: Result<Vec<usize>, _> = items.buffer_unordered(LIMIT).try_collect().await;
    assert!(result.is_err(), "the error must be returned");
    aftermath(&probe, start.elapsed()).await
}

async fn aftermath(probe: &Probe, known: Duration) -> Value {
    let (started, finished) = (probe.started(), probe.finished());
    sleep(AFTERMATH).await;
    json!({
        "error_ms": millis(known),
        "started_after": probe.started() - started,
        "finished_after": probe.finished() - finished,
    })
}
