//! The executor: the only module that spawns tasks and threads.
//!
//! Everything that runs on its own task or thread starts here, so that it can be stopped from here: a [`WorkerPool`]
//! under streams and groups, one task under [`spawned`](crate::Step::spawned), one thread under [`Context::blocking`].

mod worker_pool;
mod yield_policy;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::coop::{Unconstrained, poll_proceed, unconstrained};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) use worker_pool::{GRACE, PoolTask, WorkerPool};

use crate::context::{CallerGuard, Canceller, Context};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::sync::AbortHandle;

/// How long an aborted task may take to end before it counts as a runaway.
pub(crate) const ABORT_GRACE: Duration = Duration::from_millis(5);

/// Spawns a task that is neither awaited nor stopped. Returns false, and spawns nothing, where there is no runtime.
pub(crate) fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    runtime.spawn(work);
    true
}

/// Spawns a task that is not awaited, and returns a handle that aborts it.
#[cfg(not(shuttle))]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::spawn(work).abort_handle()
}

#[cfg(shuttle)]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    shuttle::future::spawn(work).abort_handle()
}

/// Runs `work` on its own task. If the returned future is dropped, the context of the work is cancelled, and the task
/// is aborted after `grace`.
pub(crate) fn spawned<T, Fut>(
    cx: &Context,
    grace: Duration,
    work: impl FnOnce(Context) -> Fut,
) -> impl Future<Output = Result<T>> + Send
where
    T: Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let (cx, canceller) = cx.cancellable();
    let (caller_guard, work_guard) = cx.detached_task(grace);
    let work = work(cx);
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let task = tokio::spawn(async move {
        // Dropped last: everything that the work leaves behind counts as part of it.
        let _work_guard = work_guard;
        work.await
    });
    let mut task = Task { handle: Some(task), canceller, grace, _caller_guard: caller_guard };
    async move { task.join().await.unwrap_or_else(|error| Err(ended(error))) }
}

/// A spawned task as its caller holds it; dropping it stops the task.
struct Task<T: Send + 'static> {
    /// `None` once it has ended.
    handle: Option<JoinHandle<T>>,
    canceller: Canceller,
    grace: Duration,
    _caller_guard: CallerGuard,
}

impl<T: Send + 'static> Task<T> {
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

impl<T: Send + 'static> Drop for Task<T> {
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

/// Runs `work` on a thread, and holds the permits of `cx` until it returns.
pub(crate) async fn blocking<T: Send + 'static>(
    cx: Context,
    work: impl FnOnce(Context) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (_caller_guard, work_guard) = cx.pending_work();
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let thread = tokio::task::spawn_blocking(move || {
        // Work that is cancelled before it gets a thread is dropped, and its guard has not begun.
        let work_guard = work_guard;
        if !work_guard.start() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled before it began"));
        }
        work(cx)
    });
    let mut thread = AbortOnDrop(thread);
    poll_fn(|task| Pin::new(&mut thread.0).poll(task)).await.unwrap_or_else(|error| Err(ended(error)))
}

/// A blocking thread as its caller holds it. Aborting it cancels work that still waits for a thread, and only that.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ended(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(payload) => panicked(payload.as_ref()),
        Err(_) => Error::new(ErrorKind::Cancelled, "the runtime shut down"),
    }
}

/// Returns the error of a step that panicked.
fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Panicked, format!("panicked: {text}"))
}

/// Runs `work`, and turns a panic in it into an error. The value that panicked must not be used again.
#[inline]
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panicked(payload.as_ref()))
}

/// Returns the instant `time` after `start`. A time that does not fit into an instant becomes a century.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start.checked_add(time).unwrap_or_else(|| start + CENTURY)
}

/// Waits for `work` until `deadline`; `None` if the deadline passes first.
///
/// The timer is created when `work` first has to wait, so work that is ready does not pay for one.
pub(crate) async fn within<F: Future>(deadline: Instant, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut alarm = pin!(None);
    poll_fn(|task| poll_within(&deadline, work.as_mut(), alarm.as_mut(), task)).await
}

/// The timer of [`within`]; `None` until it is needed.
pub(crate) type Alarm = Option<Unconstrained<Sleep>>;

/// Polls `work` once; see [`within`].
#[inline]
pub(crate) fn poll_within<F: Future>(
    deadline: &Instant,
    work: Pin<&mut F>,
    mut alarm: Pin<&mut Alarm>,
    task: &mut task::Context<'_>,
) -> Poll<Option<F::Output>> {
    if let Poll::Ready(output) = work.poll(task) {
        return Poll::Ready(Some(output));
    }
    if alarm.is_none() {
        // Unconstrained: work that has used up the cooperative budget of the task must not stop the clock.
        alarm.set(Some(unconstrained(sleep_until(*deadline))));
    }
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.poll(task).map(|()| None),
        None => Poll::Pending,
    }
}

/// Yields to the scheduler if this task has used up its cooperative budget, so that a loop over work that is always
/// ready starves neither timers nor cancellation.
pub(crate) async fn yield_if_due() {
    poll_fn(|task| poll_proceed(task).map(|coop| coop.made_progress())).await;
}
