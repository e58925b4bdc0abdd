//! The work that both sides of a row do, and how each side repeats it.

use std::hint::black_box;

use llmspell::{Context, Step, Streaming};
use tokio::task::JoinSet;

/// Work that never waits.
pub async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

/// Work that gives way to the scheduler once.
pub async fn yields(input: u64) -> llmspell::Result<u64> {
    yields_times(1, input).await
}

/// Work that gives way to the scheduler so many times.
pub async fn yields_times(times: u32, input: u64) -> llmspell::Result<u64> {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
    Ok(black_box(input) + 1)
}

/// Calls the step so many times, one after another, with nobody watching.
pub async fn each(step: &impl Step<In = u64>, operations: u32) {
    each_under(&Context::new(), step, operations).await;
}

/// The same under a context.
pub async fn each_under(cx: &Context, step: &impl Step<In = u64>, operations: u32) {
    for n in 0..operations {
        black_box(step.run(n.into(), cx).await.expect("nothing fails"));
    }
}

/// Takes all outcomes of a stream.
pub async fn drain<S: Step>(mut outcomes: Streaming<S>) {
    while let Some(outcome) = outcomes.next().await {
        black_box(outcome.result.expect("nothing fails"));
    }
}

/// The loop that people write: at most `limit` tasks, panics and results told apart.
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
