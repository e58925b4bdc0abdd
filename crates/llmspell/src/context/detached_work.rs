//! Detached work: work that cannot be dropped, tracked from both ends.
//!
//! A thread, a child process, a remote peer or a task in the middle of a long computation continues when its
//! caller is gone. Such work is a *runaway* (orphaned work). The caller holds a [`CallerGuard`] and the work a
//! [`WorkGuard`]. Whichever is dropped first, the rest is accounted for: permits stay taken until the work
//! ends, events record it, and enclosing retries wait for it or give up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::node::NodeKind;
use super::{Context, PermitHold, Retries};
use crate::observe::event::EventKind;
use crate::runtime::executor::{ABORT_GRACE, spawn_detached};
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::timing::{after, within};

/// The caller's guard of detached work; see [`Context::detached_work`].
///
/// Dropping it while the work is running makes the work a runaway.
#[must_use = "the work becomes a runaway when this is dropped"]
pub struct CallerGuard(Arc<DetachedWork>);

/// The work's guard of detached work: keep it until the work has ended. See [`Context::detached_work`].
#[must_use = "dropping this reports that the work has ended"]
pub struct WorkGuard(Arc<DetachedWork>);

struct DetachedWork {
    cx: Context,
    /// How long the work may outlive its caller before it counts as a runaway.
    grace: Duration,
    state: Mutex<WorkState>,
    ended: Notify,
}

struct WorkState {
    /// The permits of the work, held until it ends.
    hold: Option<PermitHold>,
    started: bool,
    /// When the caller dropped its guard.
    orphaned_at: Option<Instant>,
    reported: bool,
}

impl DetachedWork {
    fn state(&self) -> MutexGuard<'_, WorkState> {
        lock(&self.state)
    }

    /// Returns the retries that must know of running work: all above, because the work belongs to an attempt of
    /// each.
    fn retries(&self) -> impl Iterator<Item = &Retries> {
        self.cx.chain().filter_map(|node| match &node.kind {
            NodeKind::Retries(retries) => Some(retries),
            _ => None,
        })
    }

    /// Records that the work is a runaway, unless it has ended.
    fn report(&self) {
        let mut state = self.state();
        if state.hold.is_some() {
            state.reported = true;
            // Outside the lock, because an event sink may end the work and so drop the work's guard.
            drop(state);
            self.cx.record_event(|| EventKind::Runaway);
        }
    }
}

impl fmt::Debug for CallerGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerGuard").field("path", &self.0.cx.path()).finish_non_exhaustive()
    }
}

impl fmt::Debug for WorkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkGuard").field("path", &self.0.cx.path()).finish_non_exhaustive()
    }
}

impl WorkGuard {
    /// Starts work that waited for a thread. Returns false if its caller is already gone.
    pub(crate) fn start(&self) -> bool {
        let mut state = self.0.state();
        state.started = true;
        state.orphaned_at.is_none()
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let (hold, orphaned_at, reported) = {
            let mut state = self.0.state();
            (state.hold.take(), state.orphaned_at, state.reported)
        };
        // The permits first, because a task woken by the end may want one of them.
        let was_running = hold.is_some();
        drop(hold);
        self.0.ended.notify_waiters();
        if let Some(orphaned_at) = orphaned_at.filter(|_| was_running) {
            self.0.retries().for_each(Retries::runaway_ended);
            if reported {
                self.0.cx.record_event(|| EventKind::RunawayEnded { after: orphaned_at.elapsed() });
            }
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        let work = &self.0;
        let mut state = work.state();
        if state.hold.is_none() {
            return;
        }
        let now = Instant::now();
        state.orphaned_at = Some(now);
        if !state.started {
            // The work still waits for a thread, and will not start when it gets one.
            let hold = state.hold.take();
            drop(state);
            drop(hold);
            return;
        }
        // Under the lock, because the work's guard takes back what is counted here.
        work.retries().for_each(|retries| retries.runaway(work.grace));
        drop(state);
        if work.cx.recorder().is_none() {
            return;
        }
        if work.grace.is_zero() {
            return work.report();
        }
        let watched = work.clone();
        let watch = async move {
            let ended = watched.ended.notified();
            if watched.state().hold.is_some() && within(after(now, watched.grace), ended).await.is_none() {
                watched.report();
            }
        };
        if !spawn_detached(watch) {
            work.report();
        }
    }
}

impl Context {
    /// Returns the two guards of work that cannot be dropped, such as a request that a peer continues after its
    /// caller hung up.
    ///
    /// The caller keeps the [`CallerGuard`]; the [`WorkGuard`] moves into the work.
    ///
    /// If the caller's guard is dropped first, the work is a *runaway* until the work's guard is dropped as
    /// well. Meanwhile an event reports it and every permit of the work stays taken. No retry around it makes
    /// another attempt, unless the step is declared [idempotent](crate::Step::idempotent).
    /// [`Context::blocking`] and [`Step::spawned`](crate::Step::spawned) use these guards themselves.
    ///
    /// ```
    /// use llmspell::{Context, Limit, Step, step};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let connections = Limit::new(1);
    /// let call = step(|peer: std::sync::mpsc::Sender<_>, cx: Context| async move {
    ///     let (_caller, work) = cx.detached_work();
    ///     peer.send(work)?; // the peer drops it when its work has ended
    ///     std::future::pending().await
    /// });
    /// let call = call.timeout(Duration::from_millis(10)).limit(connections.clone());
    ///
    /// let (sender, peer) = std::sync::mpsc::channel();
    /// let _: Result<(), _> = call.run(sender, &Context::new()).await; // timed out
    /// assert_eq!(connections.available(), Some(0)); // the peer is still running
    /// drop(peer.recv());
    /// assert_eq!(connections.available(), Some(1));
    /// # }).into()
    /// ```
    pub fn detached_work(&self) -> (CallerGuard, WorkGuard) {
        self.guards(true, Duration::ZERO)
    }

    /// Returns the guards of work that waits for a thread: it can be cancelled until [`WorkGuard::start`].
    pub(crate) fn pending_work(&self) -> (CallerGuard, WorkGuard) {
        self.guards(false, Duration::ZERO)
    }

    /// Returns the guards of a worker pool, whose workers are aborted without grace.
    pub(crate) fn pool_guards(&self) -> (CallerGuard, WorkGuard) {
        self.detached_task(Duration::ZERO)
    }

    /// Returns the guards of a task.
    ///
    /// An aborted task nearly always ends at once, so it is a runaway only if that takes longer than `grace`
    /// and a moment.
    pub(crate) fn detached_task(&self, grace: Duration) -> (CallerGuard, WorkGuard) {
        self.guards(true, grace.saturating_add(ABORT_GRACE))
    }

    fn guards(&self, started: bool, grace: Duration) -> (CallerGuard, WorkGuard) {
        let state = WorkState { hold: Some(self.hold()), started, orphaned_at: None, reported: false };
        let work = DetachedWork { cx: self.clone(), grace, state: Mutex::new(state), ended: Notify::new() };
        let work = Arc::new(work);
        (CallerGuard(work.clone()), WorkGuard(work))
    }
}
