//! `stream` compared with a loop over a bounded `JoinSet`, and a spawned step compared with a spawned task.

#![expect(clippy::disallowed_methods, reason = "the side that is written by hand spawns by hand")]

use std::collections::VecDeque;
use std::hint::black_box;

use llmspell::{Context, Step, step};
use tokio::task::JoinSet;

use crate::measure::{Flavour, Row, head};
use crate::work::{drain, each, join_set, ready, yields};

const LIMIT: usize = 64;

/// Runs the loop over a `JoinSet` with outputs in the order of the inputs. Outputs that wait count against the
/// limit.
async fn join_set_in_order(operations: u32) {
    let mut tasks = JoinSet::new();
    let mut waiting: VecDeque<Option<u64>> = VecDeque::new();
    let mut inputs = 0..u64::from(operations);
    let mut delivered = 0;
    loop {
        while waiting.len() < LIMIT
            && let Some(input) = inputs.next()
        {
            waiting.push_back(None);
            tasks.spawn(async move { (input, ready(input).await) });
        }
        let Some(output) = tasks.join_next().await else { break };
        let (input, output) = output.expect("no panic");
        waiting[(input - delivered) as usize] = Some(output.expect("nothing fails"));
        while let Some(Some(output)) = waiting.front() {
            black_box(*output);
            waiting.pop_front();
            delivered += 1;
        }
    }
}

pub fn run() {
    head("stream", "a loop over a `JoinSet` of at most 64 tasks; for one step, `tokio::spawn` and its handle");
    for flavour in Flavour::BOTH {
        let (operations, target) = (200_000, Some(1.0));
        let inputs = |operations: u32| 0..u64::from(operations);
        Row { what: "stream, ready at once", flavour, operations, target }.compare(
            async |operations| {
                drain(step(|x, _| ready(x)).stream(inputs(operations), &Context::new()).limit(LIMIT)).await;
            },
            async |operations| join_set(operations, LIMIT, ready).await,
        );
        Row { what: "stream, each waits once", flavour, operations, target }.compare(
            async |operations| {
                drain(step(|x, _| yields(x)).stream(inputs(operations), &Context::new()).limit(LIMIT)).await;
            },
            async |operations| join_set(operations, LIMIT, yields).await,
        );
        Row { what: "stream in order, ready at once", flavour, operations, target }.compare(
            async |operations| {
                let outcomes = step(|x, _| ready(x)).stream(inputs(operations), &Context::new());
                drain(outcomes.limit(LIMIT).ordered()).await;
            },
            async |operations| join_set_in_order(operations).await,
        );
    }
    let spawned = step(|x, _| ready(x)).spawned();
    let flavour = Flavour::CurrentThread;
    Row { what: "spawned, ready at once", flavour, operations: 100_000, target: None }.compare(
        async |operations| each(&spawned, operations).await,
        async |operations| {
            for n in 0..operations {
                black_box(tokio::spawn(ready(n.into())).await.expect("no panic").expect("nothing fails"));
            }
        },
    );
}
