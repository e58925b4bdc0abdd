//! Suppression of the log output of libraries.

use std::task::Poll;

use tracing::Dispatch;
use tracing::dispatcher::with_default;

/// Polls a future with its log output suppressed.
///
/// genai logs the bodies of failed responses, and servers repeat keys in them. The error has the same information,
/// without the key.
pub(crate) async fn without_logs<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let discard = Dispatch::none();
    std::future::poll_fn(|task| -> Poll<F::Output> { with_default(&discard, || future.as_mut().poll(task)) }).await
}
