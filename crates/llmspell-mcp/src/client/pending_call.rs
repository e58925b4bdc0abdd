//! Calls that a peer has been asked for and has not answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::WorkGuard;
use rmcp::model::{ProgressToken, RequestId};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// An answer this long after the cancellation did not cross it on the way: the server does not heed cancellations.
const CANCEL_CROSSING_TIME: Duration = Duration::from_millis(100);

/// How far a call has got.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) token: ProgressToken,
    /// Grows from one to the next.
    pub(crate) progress: f64,
    /// What to show of it.
    pub(crate) chunk: Value,
}

/// One call, from before it is sent until the peer is known, or has to be assumed, to have ended it. It travels with
/// the request as far as the transport.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// Whether the transport has begun to send it: from then on it may have happened.
    sent: Arc<AtomicBool>,
    /// Whether its caller has gone.
    left: Mutex<Option<Instant>>,
    progress: mpsc::Sender<Progress>,
    custody: Mutex<Option<RuntimeHold>>,
}

struct RuntimeHold(#[expect(dead_code, reason = "it is held, and that is all")] WorkGuard);

impl std::fmt::Debug for RuntimeHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Custody")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PendingCall {
    pub(crate) fn new(custody: WorkGuard, progress: mpsc::Sender<Progress>, sent: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(PendingCall {
            sent,
            left: Mutex::new(None),
            progress,
            custody: Mutex::new(Some(RuntimeHold(custody))),
        })
    }

    /// Whether the peer may have seen the call.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    pub(crate) fn set_sent(&self, sent: bool) {
        self.sent.store(sent, Ordering::Release);
    }

    /// Whether the work has not ended, as far as is known.
    fn is_open(&self) -> bool {
        lock(&self.custody).is_some()
    }

    /// The work has ended, or can no longer be accounted for.
    pub(crate) fn release(&self) {
        let held = lock(&self.custody).take();
        drop(held);
    }

    pub(crate) fn has_left(&self) -> bool {
        lock(&self.left).is_some()
    }
}

/// The calls under way on one connection: what the transport sees of them meets here what their callers do.
#[derive(Debug, Default)]
pub(crate) struct PendingCalls {
    calls: Mutex<Calls>,
    /// Told when a caller leaves, and when the connection closes.
    pub(crate) changed: Notify,
    closed: AtomicBool,
    /// Whether the server has answered calls that it had been told to cancel.
    ignores_cancel: AtomicBool,
    /// Whether it has answered a call at all.
    answered: AtomicBool,
}

#[derive(Debug, Default)]
struct Calls {
    tickets: HashMap<RequestId, (Arc<PendingCall>, Option<ProgressToken>)>,
    tokens: HashMap<ProgressToken, RequestId>,
    /// Calls whose callers have left, and of which the peer is to be told.
    leaving: Vec<RequestId>,
}

impl Calls {
    fn remove(&mut self, id: &RequestId) -> Option<Arc<PendingCall>> {
        let (ticket, token) = self.tickets.remove(id).or_else(|| {
            // Some servers answer the request 7 with the id "7".
            let RequestId::String(text) = id else { return None };
            self.tickets.remove(&RequestId::Number(text.parse().ok()?))
        })?;
        token.and_then(|token| self.tokens.remove(&token));
        Some(ticket)
    }
}

impl PendingCalls {
    /// Notes a call that is about to be sent; false if its caller has left already and it should not be.
    pub(crate) fn enter(&self, id: RequestId, token: Option<ProgressToken>, ticket: Arc<PendingCall>) -> bool {
        if ticket.has_left() {
            ticket.release();
            return false;
        }
        ticket.set_sent(true);
        let mut calls = lock(&self.calls);
        if let Some(token) = &token {
            calls.tokens.insert(token.clone(), id.clone());
        }
        calls.tickets.insert(id, (ticket, token));
        true
    }

    /// The peer has answered.
    pub(crate) fn answered(&self, id: &RequestId) {
        let ticket = lock(&self.calls).remove(id);
        let Some(ticket) = ticket else { return };
        self.answered.store(true, Ordering::Release);
        if lock(&ticket.left).is_some_and(|left| left.elapsed() > CANCEL_CROSSING_TIME) {
            self.ignores_cancel.store(true, Ordering::Release);
        }
        ticket.release();
    }

    /// Nothing more is to be heard of a call.
    pub(crate) fn forget(&self, id: &RequestId) {
        let ticket = lock(&self.calls).remove(id);
        if let Some(ticket) = ticket {
            ticket.release();
        }
    }

    /// The peer is getting on with a call. What a slow caller cannot take is left out.
    pub(crate) fn progress(&self, progress: Progress) {
        let calls = lock(&self.calls);
        if let Some((ticket, _)) = calls.tokens.get(&progress.token).and_then(|id| calls.tickets.get(id)) {
            let _ = ticket.progress.try_send(progress);
        }
    }

    /// The caller of a call that was handed to the transport goes away.
    pub(crate) fn leave(&self, id: &RequestId, ticket: &PendingCall) {
        if !ticket.is_open() {
            return;
        }
        *lock(&ticket.left) = Some(Instant::now());
        lock(&self.calls).leaving.push(id.clone());
        self.changed.notify_one();
    }

    pub(crate) fn take_leaving(&self) -> Vec<RequestId> {
        std::mem::take(&mut lock(&self.calls).leaving)
    }

    /// No new call goes this way.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn is_heedless(&self) -> bool {
        self.ignores_cancel.load(Ordering::Acquire)
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// The peer is gone, and with it all that it did.
    pub(crate) fn release_all(&self) {
        let calls = std::mem::take(&mut *lock(&self.calls));
        for (ticket, _) in calls.tickets.into_values() {
            ticket.release();
        }
    }
}
