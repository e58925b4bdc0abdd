//! Silence of the libraries below.

use std::task::Poll;

use tracing::Dispatch;
use tracing::dispatcher::with_default;

/// Polls a future so that nothing it logs reaches anybody.
///
/// genai logs the bodies of failed answers, and servers repeat keys in them. What there is to know is in the error,
/// without the key.
pub(crate) async fn quietly<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let nobody = Dispatch::none();
    std::future::poll_fn(|task| -> Poll<F::Output> { with_default(&nobody, || future.as_mut().poll(task)) }).await
}
