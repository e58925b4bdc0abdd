//! Work on its own task or thread, which is stopped when its caller goes away.
//!
//! The executor spawns; this module ties the spawned work to a context.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::{CallerGuard, Canceller, Context};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::executor::{join_error, spawn, spawn_detached, spawn_thread};
use crate::runtime::timing::{after, within};

impl Context {
    /// Runs `work` on a thread for blocking calls, under the permits of this context.
    ///
    /// A thread cannot be stopped. If the returned future is dropped (by a timeout, for example), the caller
    /// continues at once and the context of `work` becomes [cancelled](Context::is_cancelled). The permits stay
    /// taken until `work` returns.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`] if `work` panics, and every error that `work`
    /// returns.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Context) -> Result<T> + Send + 'static,
    {
        let (cx, canceller) = self.cancellable();
        let _cancel = canceller.on_drop();
        let (_caller_guard, work_guard) = cx.pending_work();
        let thread = spawn_thread(move || {
            // Work that is cancelled before it gets a thread is dropped, and its guard has not begun.
            let work_guard = work_guard;
            if !work_guard.start() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled before it began"));
            }
            work(cx)
        });
        let mut thread = AbortOnDrop(thread);
        poll_fn(|task| Pin::new(&mut thread.0).poll(task)).await.unwrap_or_else(|error| Err(join_error(error)))
    }

    /// Runs `work` on its own task. If the returned future is dropped, the context of the work is cancelled, and the
    /// task is aborted after `grace`.
    pub(crate) fn spawned<T, Fut, F>(
        &self,
        grace: Duration,
        work: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, Fut, F>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
        F: FnOnce(Context) -> Fut,
    {
        let (cx, canceller) = self.cancellable();
        let (caller_guard, work_guard) = cx.detached_task(grace);
        let work = work(cx);
        let task = spawn(async move {
            // Dropped last: everything that the work leaves behind counts as part of it.
            let _work_guard = work_guard;
            work.await
        });
        let mut task = SpawnedTask { handle: Some(task), canceller, grace, _caller_guard: caller_guard };
        async move { task.join().await.unwrap_or_else(|error| Err(join_error(error))) }
    }
}

/// A spawned task as its caller holds it; dropping it stops the task.
struct SpawnedTask<T: Send + 'static> {
    /// `None` once it has ended.
    handle: Option<JoinHandle<T>>,
    canceller: Canceller,
    grace: Duration,
    _caller_guard: CallerGuard,
}

impl<T: Send + 'static> SpawnedTask<T> {
    async fn join(&mut self) -> Result<T, JoinError> {
        let result = poll_fn(|task| match &mut self.handle {
            Some(handle) => Pin::new(handle).poll(task),
            None => Poll::Pending,
        })
        .await;
        self.handle = None;
        result
    }
}

impl<T: Send + 'static> Drop for SpawnedTask<T> {
    fn drop(&mut self) {
        let Some(mut handle) = self.handle.take() else { return };
        self.canceller.cancel();
        let abort = handle.abort_handle();
        let grace = self.grace;
        let reap = async move {
            if within(after(Instant::now(), grace), &mut handle).await.is_none() {
                handle.abort();
            }
        };
        if grace.is_zero() || !spawn_detached(reap) {
            abort.abort();
        }
    }
}

/// A blocking thread as its caller holds it. Aborting it cancels work that still waits for a thread, and only that.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
