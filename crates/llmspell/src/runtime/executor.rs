//! The one place that spawns.
//!
//! Everything that runs on a task or a thread of its own is started here, so that everything can be
//! stopped from here: a [`WorkerPool`] of workers under streams and groups, one task under
//! [`spawned`](crate::Step::spawned), one thread under [`Context::blocking`].

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

/// How long a task that was aborted may take to go away before it counts as a runaway.
pub(crate) const ABORT_GRACE: Duration = Duration::from_millis(5);

/// Starts a task that nobody waits for or stops; false, and nothing starts, where there is no runtime.
pub(crate) fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    runtime.spawn(work);
    true
}

/// Starts a task that nobody waits for; the caller keeps the means to stop it.
#[cfg(not(shuttle))]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::spawn(work).abort_handle()
}

#[cfg(shuttle)]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    shuttle::future::spawn(work).abort_handle()
}

/// Runs `work` on a task of its own. If the returned future is dropped, the work is told to stop through its
/// context, and aborted after `grace`.
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
    let (tether, custody) = cx.detached_task(grace);
    let work = work(cx);
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let task = tokio::spawn(async move {
        // Dropped last: what the work leaves behind belongs to it.
        let _custody = custody;
        work.await
    });
    let mut task = Task { handle: Some(task), canceller, grace, _tether: tether };
    async move { task.join().await.unwrap_or_else(|error| Err(ended(error))) }
}

/// A task as its caller holds it.
struct Task<T: Send + 'static> {
    /// `None` once it has ended.
    handle: Option<JoinHandle<T>>,
    canceller: Canceller,
    grace: Duration,
    _tether: CallerGuard,
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

/// Runs `work` on a thread, holding the permits of `cx` until it returns.
pub(crate) async fn blocking<T: Send + 'static>(
    cx: Context,
    work: impl FnOnce(Context) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (_tether, custody) = cx.pending_work();
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let thread = tokio::task::spawn_blocking(move || {
        // Work that is called off before it gets a thread is dropped without the custody having begun.
        let custody = custody;
        if !custody.start() {
            return Err(Error::new(ErrorKind::Cancelled, "called off before it began"));
        }
        work(cx)
    });
    let mut thread = AbortOnDrop(thread);
    poll_fn(|task| Pin::new(&mut thread.0).poll(task)).await.unwrap_or_else(|error| Err(ended(error)))
}

/// A thread as its caller holds it: aborting it calls off work that still waits for one, and only that.
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

/// The error of a step that panicked.
fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Panicked, format!("panicked: {text}"))
}

/// Runs `work`; a panic in it becomes an error. What it panicked in must not be used again.
#[inline]
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panicked(payload.as_ref()))
}

/// `time` after `start`; a time too long to be told is a very long one.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start.checked_add(time).unwrap_or_else(|| start + CENTURY)
}

/// Polls `work` until `deadline`; `None` if the time is up first.
///
/// The timer is made when `work` first has to wait, so work that is ready pays for none.
pub(crate) async fn within<F: Future>(deadline: Instant, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut alarm = pin!(None);
    poll_fn(|task| poll_within(&deadline, work.as_mut(), alarm.as_mut(), task)).await
}

/// What wakes work whose time is up; `None` until it is needed.
pub(crate) type Alarm = Option<Unconstrained<Sleep>>;

/// One poll of [`within`].
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
        // Unconstrained: work that has used up the task's share of time must not stop the clock.
        alarm.set(Some(unconstrained(sleep_until(*deadline))));
    }
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.poll(task).map(|()| None),
        None => Poll::Pending,
    }
}

/// Gives the scheduler its turn if this task has had its share, so that a loop over work that is always
/// ready starves neither timers nor cancellation.
pub(crate) async fn yield_if_due() {
    poll_fn(|task| poll_proceed(task).map(|turn| turn.made_progress())).await;
}
