//! One attempt to connect, for all who wait for it.
//!
//! It goes on in the background: a caller whose time is up leaves it alone, and whoever comes next finds it further on.
//! Would it end with its callers, a server that takes longer to start than they have would never come up.

use std::sync::Arc;

use llmspell::Result;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::Connection;
use super::connector::Connector;
use crate::background;

pub(crate) type ConnectResult = Result<Arc<Connection>>;

/// An attempt; dropping it ends it.
pub(crate) struct Attempt {
    /// When it begins: not before the server was left alone for a while.
    pub(crate) begins: Instant,
    outcome: watch::Receiver<Option<ConnectResult>>,
    end: CancellationToken,
    _end: DropGuard,
}

/// What a caller has of an attempt.
pub(crate) struct Waiting {
    outcome: watch::Receiver<Option<ConnectResult>>,
    end: CancellationToken,
}

impl Attempt {
    pub(crate) fn begin(way: Arc<Connector>, begins: Instant) -> Self {
        let (sender, outcome) = watch::channel(None);
        let end = CancellationToken::new();
        let ended = end.clone();
        background::spawn(async move {
            let connect = async {
                sleep_until(begins).await;
                way.connect().await.map(Arc::new)
            };
            // Whoever waits for the end of the sender finds the server gone, too.
            let outcome = ended.run_until_cancelled(connect).await;
            if let Some(outcome) = outcome {
                sender.send_replace(Some(outcome));
            }
        });
        Attempt { begins, outcome, _end: end.clone().drop_guard(), end }
    }

    /// What came of it; `None` while it is under way. What was ended before it came to anything is lost.
    pub(crate) fn outcome(&self) -> Option<Option<ConnectResult>> {
        // In this order: the outcome is sent before the sender goes.
        let is_over = self.outcome.has_changed().is_err();
        let outcome = self.outcome.borrow().clone();
        (is_over || outcome.is_some()).then_some(outcome)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        Waiting { outcome: self.outcome.clone(), end: self.end.clone() }
    }

    /// Ends it, and waits until it has ended; gives the connection if there is one already.
    pub(crate) async fn close(self) -> Option<Arc<Connection>> {
        self.end.cancel();
        self.waiting().outcome().await?.ok()
    }
}

impl Waiting {
    /// What comes of the attempt; `None` if it ends before anything does.
    pub(crate) async fn outcome(mut self) -> Option<ConnectResult> {
        let outcome = self.outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone())
    }

    /// Whether it was ended on purpose.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.end.clone()
    }
}
