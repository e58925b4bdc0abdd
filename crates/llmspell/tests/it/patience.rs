//! Tests that wait for something, and fail if it never comes.

use std::time::Duration;

use llmspell::{Context, Result, Step};

use crate::probe::ms;

/// What the work comes to, which it must within an hour of its clock: on a paused one, nobody who waits for ever
/// holds up the tests.
pub async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work).await.expect("somebody waits for ever")
}

/// Begins work on a task of its own. In one task (`join!`) all are polled whenever one is woken, and nobody sees that
/// another one was not.
#[expect(clippy::disallowed_methods, reason = "tests have callers that come and go")]
pub fn alone<W>(work: W) -> impl Future<Output = W::Output> + Send
where
    W: Future<Output: Send> + Send + 'static,
{
    let task = tokio::spawn(work);
    async move { task.await.expect("the task came to an end") }
}

/// A call on a task of its own.
pub fn calls<S: Step + Clone>(step: &S, input: S::In, cx: &Context) -> impl Future<Output = Result<S::Out>> + use<S> {
    let (step, cx) = (step.clone(), cx.clone());
    alone(async move { step.run(input, &cx).await })
}

/// Waits until something holds that other threads bring about.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !holds().await {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), comes).await.expect("it never came about");
}
