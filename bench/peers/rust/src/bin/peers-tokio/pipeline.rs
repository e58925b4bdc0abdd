//! Three stages with so many records in each, results in the order of the inputs.

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
    let here = probe.enter();
    sleep(stage).await;
    here.finish();
}

/// Checks the order and takes the times.
struct Arrivals {
    began: Instant,
    first: Duration,
    next: usize,
}

impl Arrivals {
    fn new() -> Self {
        Arrivals { began: Instant::now(), first: Duration::ZERO, next: 0 }
    }

    fn take(&mut self, record: usize) {
        assert_eq!(record, self.next, "in the order of the inputs");
        if record == 0 {
            self.first = self.began.elapsed();
        }
        self.next += 1;
    }

    fn said(&self, probes: &[Probe; 3]) -> Value {
        assert_eq!(self.next, RECORDS);
        let most = probes.iter().map(Probe::most).max();
        json!({ "elapsed_ms": millis(self.began.elapsed()), "first_ms": millis(self.first), "most_in_stage": most })
    }
}

/// A task a record, which takes a permit of each stage; what is done early waits in a queue for its turn.
pub(crate) async fn join_set(records: Vec<Stages>) -> Value {
    let probes: Arc<[Probe; 3]> = Arc::default();
    let permits: Arc<[Semaphore; 3]> = Arc::new(std::array::from_fn(|_| Semaphore::new(STAGE_LIMIT)));
    let (mut arrivals, mut tasks) = (Arrivals::new(), JoinSet::new());
    for (number, stages) in records.into_iter().enumerate() {
        let (probes, permits) = (probes.clone(), permits.clone());
        tasks.spawn(async move {
            for (place, stage) in stages.into_iter().enumerate() {
                let _permit = permits[place].acquire().await.expect("never closed");
                work(&probes[place], stage).await;
            }
            number
        });
    }
    let mut waiting: VecDeque<Option<usize>> = VecDeque::new();
    while let Some(number) = tasks.join_next().await {
        let number = number.expect("no panic");
        let place = number - arrivals.next;
        if waiting.len() <= place {
            waiting.resize(place + 1, None);
        }
        waiting[place] = Some(number);
        while let Some(Some(number)) = waiting.front() {
            arrivals.take(*number);
            waiting.pop_front();
        }
    }
    arrivals.said(&probes)
}

/// Three adapters in a row, each with its own limit.
pub(crate) async fn buffered(records: Vec<Stages>) -> Value {
    let (mut arrivals, probes) = (Arrivals::new(), <[Probe; 3]>::default());
    let stage = |place: usize| {
        let probe = &probes[place];
        move |(number, stages): (usize, Stages)| async move {
            work(probe, stages[place]).await;
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
    arrivals.said(&probes)
}
