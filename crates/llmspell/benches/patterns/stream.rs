//! `stream` beside a loop over a bounded `JoinSet`.

use std::collections::VecDeque;
use std::hint::black_box;

use llmspell::{Context, Step, step};
use tokio::task::JoinSet;

use crate::measure::{Flavour, Row, head};

const LIMIT: usize = 64;

async fn ready(input: u32) -> llmspell::Result<u32> {
    Ok(black_box(input) + 1)
}

async fn yields(input: u32) -> llmspell::Result<u32> {
    tokio::task::yield_now().await;
    Ok(black_box(input) + 1)
}

/// The loop that people write: at most [`LIMIT`] tasks, panics and results told apart.
async fn join_set<F: Future<Output = llmspell::Result<u32>> + Send + 'static>(operations: u32, work: fn(u32) -> F) {
    let mut tasks = JoinSet::new();
    let mut inputs = 0..operations;
    loop {
        while tasks.len() < LIMIT
            && let Some(input) = inputs.next()
        {
            tasks.spawn(work(input));
        }
        match tasks.join_next().await {
            Some(output) => {
                black_box(output.expect("no panic").expect("nothing fails"));
            }
            None => break,
        }
    }
}

/// The same with outputs in the order of the inputs; what waits its turn counts against the limit.
async fn join_set_in_order(operations: u32) {
    let mut tasks = JoinSet::new();
    let mut waiting: VecDeque<Option<u32>> = VecDeque::new();
    let mut inputs = 0..operations;
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
    head("stream", "a loop over a `JoinSet` of at most 64 tasks");
    for flavour in [Flavour::CurrentThread, Flavour::MultiThread] {
        let operations = 200_000;
        let target = Some(1.25);
        Row { what: "stream, ready at once", flavour, operations, target }.compare(
            async |operations| {
                let mut outcomes = step(|x, _| ready(x)).stream(0..operations, &Context::new()).limit(LIMIT);
                while let Some(outcome) = outcomes.next().await {
                    black_box(outcome.result.expect("nothing fails"));
                }
            },
            async |operations| join_set(operations, ready).await,
        );
        Row { what: "stream, each waits once", flavour, operations, target }.compare(
            async |operations| {
                let mut outcomes = step(|x, _| yields(x)).stream(0..operations, &Context::new()).limit(LIMIT);
                while let Some(outcome) = outcomes.next().await {
                    black_box(outcome.result.expect("nothing fails"));
                }
            },
            async |operations| join_set(operations, yields).await,
        );
        Row { what: "stream in order, ready at once", flavour, operations, target }.compare(
            async |operations| {
                let outcomes = step(|x, _| ready(x)).stream(0..operations, &Context::new());
                let mut outcomes = outcomes.limit(LIMIT).ordered();
                while let Some(outcome) = outcomes.next().await {
                    black_box(outcome.result.expect("nothing fails"));
                }
            },
            async |operations| join_set_in_order(operations).await,
        );
    }
}
