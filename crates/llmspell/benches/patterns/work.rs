//! The work of both sides of a row, and how each side repeats it.

use std::hint::black_box;

use llmspell::pattern::stream::Streaming;
use llmspell::{Context, Step};
use tokio::task::JoinSet;

/// Work that never waits.
pub async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

/// Work that yields to the scheduler once.
pub async fn yields(input: u64) -> llmspell::Result<u64> {
    yields_times(1, input).await
}

/// Work that yields to the scheduler `times` times.
pub async fn yields_times(times: u32, input: u64) -> llmspell::Result<u64> {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
    Ok(black_box(input) + 1)
}

/// Calls the step `operations` times in sequence, without an observer.
pub async fn each(step: &impl Step<In = u64>, operations: u32) {
    each_under(&Context::new(), step, operations).await;
}

/// Does the same under a context.
pub async fn each_under(cx: &Context, step: &impl Step<In = u64>, operations: u32) {
    for n in 0..operations {
        black_box(step.run(n.into(), cx).await.expect("nothing fails"));
    }
}

/// Receives all outcomes of a stream.
pub async fn drain<S: Step>(mut outcomes: Streaming<S>) {
    while let Some(outcome) = outcomes.next().await {
        black_box(outcome.result.expect("nothing fails"));
    }
}

/// Runs the usual loop: at most `limit` tasks, with panics distinguished from errors.
pub async fn join_set<T, F>(operations: u32, limit: usize, work: impl Fn(u64) -> F)
where
    F: Future<Output = llmspell::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut inputs = 0..u64::from(operations);
    loop {
        while tasks.len() < limit
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
