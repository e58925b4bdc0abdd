//! `pipeline` beside spawned stages over bounded channels.

#![expect(clippy::disallowed_methods, reason = "the side that is written by hand spawns by hand")]

use std::hint::black_box;

use llmspell::{Context, Step, pipeline, step};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::measure::{Flavour, Row, head};
use crate::work::{drain, ready};

const CAPACITY: usize = 64;

/// Runs three tasks, one per stage, with channels between them; the error of a record passes through.
async fn stages(operations: u32) {
    let (source, mut inputs) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        for n in 0..operations {
            if source.send(Ok(u64::from(n))).await.is_err() {
                break;
            }
        }
    });
    for _ in 0..3 {
        let (next, outputs) = mpsc::channel(CAPACITY);
        let mut records: mpsc::Receiver<llmspell::Result<u64>> = std::mem::replace(&mut inputs, outputs);
        tokio::spawn(async move {
            while let Some(record) = records.recv().await {
                let record = match record {
                    Ok(record) => ready(record).await,
                    failed => failed,
                };
                if next.send(record).await.is_err() {
                    break;
                }
            }
        });
    }
    while let Some(record) = inputs.recv().await {
        black_box(record.expect("nothing fails"));
    }
}

/// Runs the same with up to `limit` concurrent records in each stage, and panics distinguished from errors.
async fn wide_stages(operations: u32, limit: usize) {
    let (source, mut inputs) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        for n in 0..operations {
            if source.send(Ok(u64::from(n))).await.is_err() {
                break;
            }
        }
    });
    for _ in 0..3 {
        let (next, outputs) = mpsc::channel(CAPACITY);
        let mut records: mpsc::Receiver<llmspell::Result<u64>> = std::mem::replace(&mut inputs, outputs);
        tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            let mut open = true;
            while open || !tasks.is_empty() {
                tokio::select! {
                    record = records.recv(), if open && tasks.len() < limit => match record {
                        Some(Ok(record)) => drop(tasks.spawn(ready(record))),
                        Some(failed) => drop(next.send(failed).await),
                        None => open = false,
                    },
                    Some(record) = tasks.join_next() => {
                        let record = record.unwrap_or_else(|panic| Err(panic.into()));
                        if next.send(record).await.is_err() {
                            break;
                        }
                    }
                }
            }
        });
    }
    while let Some(record) = inputs.recv().await {
        black_box(record.expect("nothing fails"));
    }
}

async fn ours(operations: u32, limit: usize) {
    let flow = pipeline("bench")
        .stage("a", step(|x, _| ready(x)))
        .limit(limit)
        .stage("b", step(|x, _| ready(x)))
        .limit(limit)
        .stage("c", step(|x, _| ready(x)))
        .limit(limit);
    drain(flow.stream((0..operations).map(u64::from), &Context::new()).limit(CAPACITY)).await;
}

pub fn run() {
    head("pipeline", "three spawned stages over channels of 64: one task a stage, or a `JoinSet` of 16 in each");
    let operations = 200_000;
    for flavour in Flavour::BOTH {
        Row { what: "3 stages, 1 at a time in each", flavour, operations, target: Some(1.0) }
            .compare(async |operations| ours(operations, 1).await, async |operations| stages(operations).await);
        Row { what: "3 stages, 16 at a time in each", flavour, operations, target: Some(1.0) }.compare(
            async |operations| ours(operations, 16).await,
            async |operations| wide_stages(operations, 16).await,
        );
    }
}
