//! Three stages with a limit each, results in the order of the inputs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use peers::probe::Probe;
use peers::stages::Stages;
use peers::{RECORDS, STAGE_LIMIT, millis};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

async fn work(probe: &Probe, stage: Duration) {
    let running = probe.start();
    sleep(stage).await;
    running.finish();
}

/// Checks the order of the results and records their times.
struct Arrivals {
    started: Instant,
    first: Duration,
    next: usize,
}

impl Arrivals {
    fn new() -> Self {
        Arrivals { started: Instant::now(), first: Duration::ZERO, next: 0 }
    }

    fn take(&mut self, record: usize) {
        assert_eq!(record, self.next, "results must be in the order of the inputs");
        if record == 0 {
            self.first = self.started.elapsed();
        }
        self.next += 1;
    }

    fn report(&self, probes: &[Probe; 3]) -> Value {
        assert_eq!(self.next, RECORDS);
        let peak = probes.iter().map(Probe::peak).max();
        json!({ "elapsed_ms": millis(self.started.elapsed()), "first_ms": millis(self.first), "most_in_stage": peak })
    }
}

/// Spawns one task per record, which acquires a permit of each stage. Early results wait in a queue.
pub(crate) async fn join_set(records: Vec<Stages>) -> Value {
    let probes: Arc<[Probe; 3]> = Arc::default();
    let permits: Arc<[Semaphore; 3]> = Arc::new(std::array::from_fn(|_| Semaphore::new(STAGE_LIMIT)));
    let (mut arrivals, mut tasks) = (Arrivals::new(), JoinSet::new());
    for (number, stages) in records.into_iter().enumerate() {
        let (probes, permits) = (probes.clone(), permits.clone());
        tasks.spawn(async move {
            for (index, stage) in stages.into_iter().enumerate() {
                let _permit = permits[index].acquire().await.expect("never closed");
                work(&probes[index], stage).await;
            }
            number
        });
    }
    let mut waiting: VecDeque<Option<usize>> = VecDeque::new();
    while let Some(number) = tasks.join_next().await {
        let number = number.expect("no panic");
        let index = number - arrivals.next;
        if waiting.len() <= index {
            waiting.resize(index + 1, None);
        }
        waiting[index] = Some(number);
        while let Some(Some(number)) = waiting.front() {
            arrivals.take(*number);
            waiting.pop_front();
        }
    }
    arrivals.report(&probes)
}

/// Chains three adapters, each with its own limit.
pub(crate) async fn buffered(records: Vec<Stages>) -> Value {
    let (mut arrivals, probes) = (Arrivals::new(), <[Probe; 3]>::default());
    let stage = |index: usize| {
        let probe = &probes[index];
        move |(number, stages): (usize, Stages)| async move {
            work(probe, stages[index]).await;
            (number, stages)
        }
    };
    let mut results = stream::iter(records.into_iter().enumerate())
        .map(stage(0))
        .buffered(STAGE_LIMIT)
        .map(stage(1))
        .buffered(STAGE_LIMIT)
        .map(stage(2))
        .buffered(STAGE_LIMIT);
    while let Some((number, _)) = results.next().await {
        arrivals.take(number);
    }
    drop(results);
    arrivals.report(&probes)
}
