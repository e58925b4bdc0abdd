//! Calls that were sent, or are about to be, and have no answer yet.
//!
//! The transport and the callers of one connection meet here. It knows which calls are pending, which callers have left
//! and whether the server honours cancellations; it sends nothing itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::context::WorkGuard;
use rmcp::model::{ProgressToken, RequestId};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// The longest time in which an answer and a cancellation may cross. A later answer shows that the server ignores
/// cancellations.
const CROSSING_TIME: Duration = Duration::from_millis(100);

/// One progress notification.
#[derive(Debug)]
pub(crate) struct CallProgress {
    pub(crate) token: ProgressToken,
    /// Increases from one notification to the next.
    pub(crate) value: f64,
    /// The chunk to emit.
    pub(crate) chunk: Value,
}

/// One call, from before it is sent until the peer has finished it, or must be assumed to have. It travels with the
/// request as far as the transport.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// Whether the transport has begun to send the call: from then on it may have happened.
    is_sent: Arc<AtomicBool>,
    /// When the caller left, if it did.
    abandoned_at: Mutex<Option<Instant>>,
    progress: mpsc::Sender<CallProgress>,
    hold: Mutex<Option<RuntimeHold>>,
}

/// Holds the caller's permits, and its work as a runaway, until the peer has finished the call.
struct RuntimeHold(#[expect(dead_code, reason = "held for its drop")] WorkGuard);

impl std::fmt::Debug for RuntimeHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuntimeHold")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PendingCall {
    pub(crate) fn new(guard: WorkGuard, progress: mpsc::Sender<CallProgress>, is_sent: Arc<AtomicBool>) -> Arc<Self> {
        let hold = Mutex::new(Some(RuntimeHold(guard)));
        Arc::new(PendingCall { is_sent, abandoned_at: Mutex::new(None), progress, hold })
    }

    /// Returns whether the peer may have seen the call.
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    pub(crate) fn set_sent(&self, is_sent: bool) {
        self.is_sent.store(is_sent, Ordering::Release);
    }

    /// Returns whether the work is still running, as far as is known.
    fn is_held(&self) -> bool {
        lock(&self.hold).is_some()
    }

    /// Ends the hold: the work has ended, or can no longer be accounted for.
    pub(crate) fn release(&self) {
        // Dropped after the lock is released.
        let hold = lock(&self.hold).take();
        drop(hold);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.abandoned_at).is_some()
    }
}

/// The pending calls of one connection.
#[derive(Debug, Default)]
pub(crate) struct PendingCalls {
    calls: Mutex<CallTable>,
    /// Notified when a caller leaves, and when the connection closes.
    pub(crate) changed: Notify,
    is_closed: AtomicBool,
    /// Whether the server has answered calls that it had been told to cancel.
    ignores_cancel: AtomicBool,
    /// Whether the server has answered any call.
    has_answered: AtomicBool,
}

#[derive(Debug, Default)]
struct CallTable {
    by_id: HashMap<RequestId, (Arc<PendingCall>, Option<ProgressToken>)>,
    by_token: HashMap<ProgressToken, RequestId>,
    /// Calls whose callers have left and whose cancellation has not been sent.
    abandoned: Vec<RequestId>,
}

impl CallTable {
    fn remove(&mut self, id: &RequestId) -> Option<Arc<PendingCall>> {
        let (call, token) = self.by_id.remove(id).or_else(|| {
            // Some servers answer the request 7 with the id "7".
            let RequestId::String(text) = id else { return None };
            self.by_id.remove(&RequestId::Number(text.parse().ok()?))
        })?;
        token.and_then(|token| self.by_token.remove(&token));
        Some(call)
    }
}

impl PendingCalls {
    /// Registers a call that is about to be sent. Returns false if its caller has left already: then it must not be
    /// sent.
    pub(crate) fn insert(&self, id: RequestId, token: Option<ProgressToken>, call: Arc<PendingCall>) -> bool {
        if call.is_abandoned() {
            call.release();
            return false;
        }
        call.set_sent(true);
        let mut calls = lock(&self.calls);
        if let Some(token) = &token {
            calls.by_token.insert(token.clone(), id.clone());
        }
        calls.by_id.insert(id, (call, token));
        true
    }

    /// Removes a call that the peer has answered.
    pub(crate) fn on_answer(&self, id: &RequestId) {
        let call = lock(&self.calls).remove(id);
        let Some(call) = call else { return };
        self.has_answered.store(true, Ordering::Release);
        if lock(&call.abandoned_at).is_some_and(|since| since.elapsed() > CROSSING_TIME) {
            self.ignores_cancel.store(true, Ordering::Release);
        }
        call.release();
    }

    /// Removes a call of which nothing more is expected.
    pub(crate) fn forget(&self, id: &RequestId) {
        let call = lock(&self.calls).remove(id);
        if let Some(call) = call {
            call.release();
        }
    }

    /// Passes progress on to the caller, or drops it if the caller is too slow to take it.
    pub(crate) fn on_progress(&self, progress: CallProgress) {
        let calls = lock(&self.calls);
        if let Some((call, _)) = calls.by_token.get(&progress.token).and_then(|id| calls.by_id.get(id)) {
            let _ = call.progress.try_send(progress);
        }
    }

    /// Marks a call that was handed to the transport as abandoned by its caller.
    pub(crate) fn abandon(&self, id: &RequestId, call: &PendingCall) {
        if !call.is_held() {
            return;
        }
        *lock(&call.abandoned_at) = Some(Instant::now());
        lock(&self.calls).abandoned.push(id.clone());
        self.changed.notify_one();
    }

    pub(crate) fn take_abandoned(&self) -> Vec<RequestId> {
        std::mem::take(&mut lock(&self.calls).abandoned)
    }

    /// Closes the connection to new calls.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn ignores_cancel(&self) -> bool {
        self.ignores_cancel.load(Ordering::Acquire)
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Acquire)
    }

    /// Releases all calls: the peer is gone, and its work with it.
    pub(crate) fn release_all(&self) {
        let calls = std::mem::take(&mut *lock(&self.calls));
        for (call, _) in calls.by_id.into_values() {
            call.release();
        }
    }
}
