//! Work that cannot be dropped, held from both ends.
//!
//! A thread, a child process, a peer behind a connection, a task in the middle of a long computation: the
//! caller of such work can leave, and the work goes on. Then it is a *runaway*. The caller keeps one end of
//! a tether and the work the other, so that whichever ends first, the other is accounted for: the permits
//! stay taken until the work really ends, the events tell of it, and retries above wait for it or give up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::node::Facet;
use super::{Context, PermitHold, Retries};
use crate::observe::event::EventKind;
use crate::runtime::executor::{ABORT_GRACE, after, spawn_detached, within};
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// The caller's end of work that cannot be dropped; see [`Context::detached_work`].
///
/// Dropping it while the work goes on makes the work a runaway.
#[must_use = "the work is a runaway once this is dropped"]
pub struct CallerGuard(Arc<Shared>);

/// The work's end: keep it until the work has really ended. See [`Context::detached_work`].
#[must_use = "dropping this says that the work has ended"]
pub struct WorkGuard(Arc<Shared>);

struct Shared {
    cx: Context,
    /// How long work may outlive its caller before it counts as a runaway.
    patience: Duration,
    state: Mutex<State>,
    over: Notify,
}

struct State {
    /// The permits that the work runs under, until it ends.
    hold: Option<PermitHold>,
    begun: bool,
    /// When the caller went away.
    left: Option<Instant>,
    reported: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The retries that must know of work that is still alive: all above, for the work belongs to an attempt
    /// of each.
    fn retries(&self) -> impl Iterator<Item = &Retries> {
        self.cx.chain().filter_map(|node| match &node.facet {
            Facet::Retries(retries) => Some(retries),
            _ => None,
        })
    }

    /// Says that the work is a runaway, unless it has ended.
    fn report(&self) {
        let mut state = self.state();
        if state.hold.is_some() {
            state.reported = true;
            // Without the lock: a reader of events may end the work, and so drop the custody.
            drop(state);
            self.cx.fact(|| EventKind::Runaway);
        }
    }
}

impl WorkGuard {
    /// Begins work that had to wait for a place to run in; false if nobody wants it any more.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.0.state();
        state.begun = true;
        state.left.is_none()
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let (hold, left, reported) = {
            let mut state = self.0.state();
            (state.hold.take(), state.left, state.reported)
        };
        // First the permits: whoever is told of the end may want one.
        let was_alive = hold.is_some();
        drop(hold);
        self.0.over.notify_waiters();
        if let Some(left) = left.filter(|_| was_alive) {
            self.0.retries().for_each(Retries::runaway_ended);
            if reported {
                self.0.cx.fact(|| EventKind::RunawayEnded { after: left.elapsed() });
            }
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        let tie = &self.0;
        let mut state = tie.state();
        if state.hold.is_none() {
            return;
        }
        let left = Instant::now();
        state.left = Some(left);
        if !state.begun {
            // It waits for a thread, and will not begin when it gets one.
            let hold = state.hold.take();
            drop(state);
            drop(hold);
            return;
        }
        // Under the lock: the work's end takes back what is counted here.
        tie.retries().for_each(|retries| retries.runaway(tie.patience));
        drop(state);
        if tie.cx.recorder().is_none() {
            return;
        }
        if tie.patience.is_zero() {
            return tie.report();
        }
        let watched = tie.clone();
        let watch = async move {
            let over = watched.over.notified();
            if watched.state().hold.is_some() && within(after(left, watched.patience), over).await.is_none() {
                watched.report();
            }
        };
        if !spawn_detached(watch) {
            tie.report();
        }
    }
}

impl Context {
    /// The two ends of work that cannot be dropped, such as a request that a peer goes on with after its
    /// caller has hung up. The caller keeps the [`CallerGuard`], the work takes the [`WorkGuard`] along.
    ///
    /// If the tether goes first, the work is a *runaway* until the custody goes, too: the events say so, every
    /// permit that this work runs under stays taken, and no retry around it makes another attempt unless the
    /// step is declared [idempotent](crate::Step::idempotent). [`Context::blocking`] and
    /// [`Step::spawned`](crate::Step::spawned) do this by themselves.
    ///
    /// ```
    /// use llmspell::{Context, Limit, Step, step};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let connections = Limit::new(1);
    /// let call = step(|peer: std::sync::mpsc::Sender<_>, cx: Context| async move {
    ///     let (_tether, custody) = cx.detached_work();
    ///     peer.send(custody)?; // the peer drops it when it has really ended
    ///     std::future::pending().await
    /// });
    /// let call = call.timeout(Duration::from_millis(10)).limit(connections.clone());
    ///
    /// let (sender, peer) = std::sync::mpsc::channel();
    /// let _: Result<(), _> = call.run(sender, &Context::new()).await; // timed out
    /// assert_eq!(connections.available(), Some(0)); // but the peer is still at it
    /// drop(peer.recv());
    /// assert_eq!(connections.available(), Some(1));
    /// # }).into()
    /// ```
    pub fn detached_work(&self) -> (CallerGuard, WorkGuard) {
        self.tethered(true, Duration::ZERO)
    }

    /// The same for work that has yet to find a place to run in: until [`WorkGuard::begin`] it can be called off.
    pub(crate) fn tether_for_later(&self) -> (CallerGuard, WorkGuard) {
        self.tethered(false, Duration::ZERO)
    }

    /// The same for tasks, which nearly always end at once when they are aborted: they are runaways only
    /// if that takes longer than `grace` and a moment.
    pub(crate) fn tether_for_task(&self, grace: Duration) -> (CallerGuard, WorkGuard) {
        self.tethered(true, grace.saturating_add(ABORT_GRACE))
    }

    fn tethered(&self, begun: bool, patience: Duration) -> (CallerGuard, WorkGuard) {
        let state = State { hold: Some(self.hold()), begun, left: None, reported: false };
        let tie = Shared { cx: self.clone(), patience, state: Mutex::new(state), over: Notify::new() };
        let tie = Arc::new(tie);
        (CallerGuard(tie.clone()), WorkGuard(tie))
    }
}
