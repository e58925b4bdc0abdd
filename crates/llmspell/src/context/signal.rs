//! Cooperative cancellation, for work that cannot simply be dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;

use super::Context;
use super::node::NodeKind;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};

/// A flag that is raised once, with its waiters.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    changed: Notify,
}

impl Signal {
    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

/// A handle that cancels the work under one context; made by [`Context::cancellable`].
///
/// Cancellation is cooperative: [`Context::is_cancelled`] becomes true, streams stop pulling from their source,
/// and retries make no further attempt. Work that is only awaited does not need it: dropping its future stops
/// it.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Signal>);

impl Canceller {
    /// Asks all work under the context to stop.
    pub fn cancel(&self) {
        self.0.raise();
    }
}

/// A guard that raises the signal when dropped, because the caller of spawned work is gone.
pub(crate) struct CancelOnDrop(Canceller);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Canceller {
    pub(crate) fn on_drop(self) -> CancelOnDrop {
        CancelOnDrop(self)
    }
}

impl Context {
    /// Returns a context below this one that can be cancelled, and its canceller.
    pub fn cancellable(&self) -> (Context, Canceller) {
        let signal = Arc::new(Signal::default());
        (self.child(NodeKind::Signal(signal.clone())), Canceller(signal))
    }

    /// Returns whether the work should stop: it was cancelled, or its deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.signals().any(|signal| signal.is_raised()) || self.is_past_deadline()
    }

    /// Waits until the work is cancelled or its deadline passes; never returns if neither can happen.
    pub async fn cancelled(&self) {
        // A timer fires up to a millisecond late, so check first.
        if self.is_cancelled() {
            return;
        }
        let cancelled = self.signalled();
        match self.deadline() {
            None => cancelled.await,
            Some(deadline) => drop(tokio::time::timeout_at(deadline, cancelled).await),
        }
    }

    pub(crate) fn is_signalled(&self) -> bool {
        self.signals().any(|signal| signal.is_raised())
    }

    /// Waits until a signal above is raised.
    pub(crate) fn signalled(&self) -> impl Future<Output = ()> + Send + 'static {
        let signals: Vec<Arc<Signal>> = self.signals().cloned().collect();
        async move {
            // Registered before the flags are read, so that no change is missed.
            let mut waits: Vec<Pin<Box<_>>> =
                signals.iter().map(|signal| Box::pin(signal.changed.notified())).collect();
            for wait in &mut waits {
                wait.as_mut().enable();
            }
            std::future::poll_fn(|task| {
                let raised = signals.iter().any(|signal| signal.is_raised());
                // Every wait is polled, so that each of them can wake this task.
                let woken =
                    waits.iter_mut().filter_map(|wait| wait.as_mut().poll(task).is_ready().then_some(())).count() > 0;
                if raised || woken { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    pub(crate) fn has_signals(&self) -> bool {
        self.signals().next().is_some()
    }

    /// Returns whether [`Context::cancelled`] can ever complete.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        self.has_signals() || self.deadline().is_some()
    }

    fn signals(&self) -> impl Iterator<Item = &Arc<Signal>> {
        self.chain().filter_map(|node| match &node.kind {
            NodeKind::Signal(signal) => Some(signal),
            _ => None,
        })
    }
}
