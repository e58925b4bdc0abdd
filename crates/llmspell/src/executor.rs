//! The one place that spawns.
//!
//! Everything that runs on a task or a thread of its own is started here, so that everything can be
//! stopped from here: a [`Crew`] of workers under streams and groups, one task under
//! [`spawned`](crate::Step::spawned), one thread under [`Context::blocking`].

mod crew;
mod pace;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::task::coop::{poll_proceed, unconstrained};
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

pub(crate) use crew::{Crew, GRACE, Work};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Fact;

/// Starts a task that nobody waits for; the caller keeps the means to stop it.
fn launch(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::spawn(work).abort_handle()
}

/// Runs `work` on a task of its own, which dies with the returned future.
pub(crate) fn spawned<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let task = AbortOnDrop(tokio::spawn(work));
    async move { task.await.unwrap_or_else(|error| Err(ended(error))) }
}

/// Runs `work` on a thread, holding the permits of `cx` until it returns.
pub(crate) async fn blocking<T: Send + 'static>(
    cx: Context,
    work: impl FnOnce(Context) -> Result<T> + Send + 'static,
) -> Result<T> {
    // In this order, so that the permits go back last, also if the work is called off.
    let job = (work, cx.hold());
    let begun = Arc::new(AtomicBool::new(false));
    let (observer, has_begun) = (cx.clone(), begun.clone());
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    let thread = tokio::task::spawn_blocking(move || {
        begun.store(true, Ordering::Release);
        let (work, _hold) = job;
        work(cx)
    });
    let mut thread = Thread { work: thread, has_begun, cx: observer, is_over: false };
    let result = (&mut thread.work).await.unwrap_or_else(|error| Err(ended(error)));
    thread.is_over = true;
    result
}

/// Work on a thread, as its caller holds it.
struct Thread<T> {
    work: JoinHandle<T>,
    has_begun: Arc<AtomicBool>,
    cx: Context,
    is_over: bool,
}

impl<T> Drop for Thread<T> {
    fn drop(&mut self) {
        if !self.is_over {
            // Only work that still waits for a thread can be called off.
            self.work.abort();
            if self.has_begun.load(Ordering::Acquire) {
                self.cx.fact(|| Fact::Runaway);
            }
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task)
    }
}

fn ended(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(payload) => panicked(payload.as_ref()),
        Err(_) => Error::new(Kind::Cancelled, "the runtime shut down"),
    }
}

/// The error of a step that panicked.
fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(Kind::Panicked, format!("panicked: {text}"))
}

/// Runs `work`; a panic in it becomes an error. What it panicked in must not be used again.
#[inline]
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
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
    poll_fn(|task| {
        if let Poll::Ready(output) = work.as_mut().poll(task) {
            return Poll::Ready(Some(output));
        }
        if alarm.is_none() {
            // Unconstrained: work that has used up the task's share of time must not stop the clock.
            alarm.set(Some(unconstrained(sleep_until(deadline))));
        }
        match alarm.as_mut().as_pin_mut() {
            Some(alarm) => alarm.poll(task).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// Gives the scheduler its turn if this task has had its share, so that a loop over work that is always
/// ready starves neither timers nor cancellation.
pub(crate) async fn breathe() {
    poll_fn(|task| poll_proceed(task).map(|turn| turn.made_progress())).await;
}
