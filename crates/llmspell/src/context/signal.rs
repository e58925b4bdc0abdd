//! Cooperative cancellation, for work that cannot simply be dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;

use super::Context;
use super::node::Facet;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};

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

/// Cancels the work under one context; made by [`Context::cancellable`].
///
/// It asks, and the work answers: [`Context::is_cancelled`] turns true, streams stop pulling from their
/// source, retries make no further attempt. Work that is only awaited needs none of this: dropping its
/// future stops it.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Signal>);

impl Canceller {
    /// Asks everything under the context to stop.
    pub fn cancel(&self) {
        self.0.raise();
    }
}

/// Raises the signal when dropped: the caller of spawned work has gone away.
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
    /// A context below this one that can be cancelled, and the means to do it.
    pub fn cancellable(&self) -> (Context, Canceller) {
        let signal = Arc::new(Signal::default());
        (self.child(Facet::Signal(signal.clone())), Canceller(signal))
    }

    /// Whether the work should stop: somebody cancelled it, or its deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.signals().any(|signal| signal.is_raised()) || self.is_past_deadline()
    }

    /// Completes when the work is cancelled or its deadline passes; never if neither can happen.
    pub async fn cancelled(&self) {
        // A timer lets a millisecond pass before it says that its time is over.
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

    /// Completes when a signal above is raised.
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
                // Every wait is polled, so that every one of them can wake.
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

    /// Whether [`Context::cancelled`] can ever complete.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        self.has_signals() || self.deadline().is_some()
    }

    fn signals(&self) -> impl Iterator<Item = &Arc<Signal>> {
        self.chain().filter_map(|node| match &node.facet {
            Facet::Signal(signal) => Some(signal),
            _ => None,
        })
    }
}
