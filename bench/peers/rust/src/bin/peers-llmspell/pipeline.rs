//! Three stages, each with its own limit, outcomes in the order of the inputs.

use std::time::Duration;

use llmspell::{Context, Result, Step, pipeline, step};
use peers::probe::Probe;
use peers::stages::Stages;
use peers::{STAGE_LIMIT, millis};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// A record in the pipeline: its number, and the durations of its stages.
type Record = (usize, Stages);

fn stage(index: usize, probe: &Probe) -> impl Step<In = Record, Out = Record> {
    let probe = probe.clone();
    step(move |(number, stages): Record, _| {
        let probe = probe.clone();
        async move {
            let running = probe.start();
            sleep(stages[index]).await;
            running.finish();
            Ok((number, stages))
        }
    })
}

/// Runs the pipeline. Up to `window` outcomes may wait for an earlier one without delaying the admission of others.
pub(crate) async fn run(records: Vec<Stages>, window: usize) -> Result<Value> {
    let probes: [Probe; 3] = Default::default();
    let flow = pipeline("work")
        .stage("a", stage(0, &probes[0]))
        .limit(STAGE_LIMIT)
        .stage("b", stage(1, &probes[1]))
        .limit(STAGE_LIMIT)
        .stage("c", stage(2, &probes[2]))
        .limit(STAGE_LIMIT);

    let (started, mut first, mut next) = (Instant::now(), Duration::ZERO, 0);
    let mut outcomes = flow.stream(records.into_iter().enumerate(), &Context::new()).window(window);
    while let Some(outcome) = outcomes.next().await {
        let (number, _) = outcome.result?;
        assert_eq!(number, next, "results must be in the order of the inputs");
        if number == 0 {
            first = started.elapsed();
        }
        next += 1;
    }
    let elapsed = started.elapsed();
    assert_eq!(next, peers::RECORDS);
    let peak = probes.iter().map(Probe::peak).max();
    Ok(json!({ "elapsed_ms": millis(elapsed), "first_ms": millis(first), "most_in_stage": peak }))
}
