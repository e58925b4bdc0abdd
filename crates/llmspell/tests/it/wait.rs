//! Bounded waits for tests: a wait that never ends fails the test.

use std::time::Duration;

use llmspell::{Context, Result, Step};

use crate::probe::ms;

/// Returns the result of `work`, which must complete within an hour of the test's clock. On a paused clock, a
/// hanging test therefore fails at once.
pub async fn completes<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work).await.expect("the work waits for ever")
}

/// Starts work on its own task. In one task (`join!`), every future is polled whenever one is woken, which
/// hides missing wake-ups of the others.
#[expect(clippy::disallowed_methods, reason = "tests start and drop callers")]
pub fn spawn_task<W>(work: W) -> impl Future<Output = W::Output> + Send
where
    W: Future<Output: Send> + Send + 'static,
{
    let task = tokio::spawn(work);
    async move { task.await.expect("the task completes") }
}

/// Starts a call of `step` on its own task.
pub fn spawn_call<S: Step + Clone>(
    step: &S,
    input: S::In,
    cx: &Context,
) -> impl Future<Output = Result<S::Out>> + use<S> {
    let (step, cx) = (step.clone(), cx.clone());
    spawn_task(async move { step.run(input, &cx).await })
}

/// Waits until `holds` returns true, which other threads bring about.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let condition = async {
        while !holds().await {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), condition).await.expect("the condition never holds");
}
