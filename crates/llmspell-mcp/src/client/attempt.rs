//! One attempt to connect, shared by all callers that need the connection.
//!
//! The attempt runs in the background. A caller whose deadline passes leaves it running, and the next caller joins it.
//! If it ended with its callers, a server that starts more slowly than their deadlines allow would never come up.

use std::sync::Arc;

use llmspell::Result;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::Connection;
use super::connector::Connector;
use crate::background;

pub(crate) type ConnectResult = Result<Arc<Connection>>;

/// A running attempt to connect. Dropping it cancels the attempt.
pub(crate) struct Attempt {
    /// The start of the attempt, after the backoff.
    pub(crate) starts_at: Instant,
    result: watch::Receiver<Option<ConnectResult>>,
    cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

/// A caller's handle to an attempt.
pub(crate) struct AttemptWaiter {
    result: watch::Receiver<Option<ConnectResult>>,
    cancel: CancellationToken,
}

/// The state of an attempt.
pub(crate) enum AttemptState {
    Running,
    Finished(ConnectResult),
    /// The attempt was cancelled or its runtime ended: no result.
    Aborted,
}

impl Attempt {
    pub(crate) fn start(connector: Arc<Connector>, starts_at: Instant) -> Self {
        let (sender, result) = watch::channel(None);
        let cancel = CancellationToken::new();
        let cancelled = cancel.clone();
        background::spawn(async move {
            let connect = async {
                sleep_until(starts_at).await;
                connector.connect().await.map(Arc::new)
            };
            // A waiter that sees the sender dropped can rely on the server being gone: `connect` is dropped first.
            let result = cancelled.run_until_cancelled(connect).await;
            if let Some(result) = result {
                sender.send_replace(Some(result));
            }
        });
        Attempt { starts_at, result, _cancel_on_drop: cancel.clone().drop_guard(), cancel }
    }

    pub(crate) fn state(&self) -> AttemptState {
        // In this order: the result is sent before the sender is dropped.
        let is_over = self.result.has_changed().is_err();
        match self.result.borrow().clone() {
            Some(result) => AttemptState::Finished(result),
            None if is_over => AttemptState::Aborted,
            None => AttemptState::Running,
        }
    }

    pub(crate) fn waiter(&self) -> AttemptWaiter {
        AttemptWaiter { result: self.result.clone(), cancel: self.cancel.clone() }
    }

    /// Cancels the attempt and waits until it has ended. Returns the connection if it was established already.
    pub(crate) async fn close(self) -> Option<Arc<Connection>> {
        self.cancel.cancel();
        self.waiter().result().await?.ok()
    }
}

impl AttemptWaiter {
    /// Waits for the result of the attempt; `None` if the attempt was aborted.
    pub(crate) async fn result(mut self) -> Option<ConnectResult> {
        let result = self.result.wait_for(Option::is_some).await;
        result.ok().and_then(|result| result.clone())
    }

    /// Returns the token that is cancelled when the attempt is closed on purpose.
    pub(crate) fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }
}
