//! Limits the calls of a server.
//!
//! Two [`Limit`]s are nested. The inner one caps the running calls at `running`; the outer one caps all calls at
//! `running + waiting`. A call that finds no free permit in the outer one is rejected at once. Work that outlives its
//! call keeps its permits in both.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use llmspell::{Context, Error, Limit, Result, Step, step};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Permits for the calls of one server, shared by all its connections.
pub(crate) struct Admission {
    /// Permits for all calls, running and waiting.
    total: Limit,
    running: Limit,
    /// Makes the check for a free permit and its acquisition one atomic step.
    acquire: Mutex<()>,
    is_closed: AtomicBool,
    /// Cancelled when calls are left after the time to drain.
    end: CancellationToken,
    overload_message: String,
}

/// The rejection of a call. An error of the work is never one of these, whatever its kind.
#[derive(Debug)]
pub(crate) struct Overloaded(pub(crate) Error);

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        Admission {
            total: Limit::new(running.saturating_add(waiting)),
            running: Limit::new(running),
            acquire: Mutex::new(()),
            is_closed: AtomicBool::new(false),
            end: CancellationToken::new(),
            overload_message: format!("overloaded: {running} calls run and {waiting} wait already"),
        }
    }

    /// Rejects all further calls.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Returns the number of calls, including runaways.
    pub(crate) fn calls(&self) -> usize {
        self.total.permits().unwrap_or_default() - self.total.available().unwrap_or_default()
    }

    /// Rejects all further calls, and waits for those in flight, at most `limit`. Then they are
    /// [ended](Admission::ended).
    pub(crate) async fn drain(&self, limit: Duration) {
        self.close();
        let drained = async {
            // Polled, because a limit does not notify when the last runaway has ended.
            while self.calls() > 0 {
                sleep(DRAIN_POLL).await;
            }
        };
        if timeout(limit, drained).await.is_err() {
            self.end();
        }
    }

    /// Ends the wait for all calls.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Waits until the remaining calls must be dropped.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Runs `work` when a permit is free, and returns its result.
    ///
    /// # Errors
    /// [`Overloaded`], at once, if the queue is full or the server is closed.
    pub(crate) async fn run<T, F, Fut>(&self, cx: &Context, work: F) -> Result<Result<T>, Overloaded>
    where
        T: Send + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Overloaded(Error::overloaded("the server is shutting down")));
        }
        let inner = step(move |work: F, cx: Context| work(cx)).limit(self.running.clone());
        let inner = Arc::new(inner);
        let outer = step(move |work: F, cx: Context| {
            let inner = inner.clone();
            async move {
                // The permit is acquired: return from the first poll, so that the lock is not held while the work
                // begins.
                tokio::task::yield_now().await;
                inner.run(work, &cx).await
            }
        });
        let outer = outer.limit(self.total.clone());
        let mut call = pin!(outer.run(work, cx));
        let first_poll = poll_fn(|task| {
            let _guard = self.acquire.lock().unwrap_or_else(PoisonError::into_inner);
            if self.total.available() == Some(0) {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(call.as_mut().poll(task)))
        })
        .await;
        match first_poll {
            None => Err(Overloaded(Error::overloaded(self.overload_message.clone()).with_retry_after(RETRY_AFTER))),
            Some(Poll::Ready(result)) => Ok(result),
            Some(Poll::Pending) => Ok(call.await),
        }
    }
}

/// The delay that rejected clients are given. The server cannot know when a permit will be free; an immediate retry
/// would be too soon.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The interval at which a draining server checks whether calls are left.
const DRAIN_POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use llmspell::ErrorKind;
    use tokio::sync::Semaphore;

    #[tokio::test(start_paused = true)]
    async fn call_beyond_the_queue_is_rejected_at_once_and_permits_return() {
        let admission = Arc::new(Admission::new(2, 1));
        let gate = Arc::new(Semaphore::new(0));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (admission, gate) = (admission.clone(), gate.clone());
            calls.spawn(async move {
                let work = move |_| async move {
                    gate.acquire().await?.forget();
                    Ok(())
                };
                admission.run(&Context::new(), work).await
            });
        }
        for _ in 0..7 {
            let Overloaded(rejected) = calls.join_next().await.unwrap().unwrap().unwrap_err();
            assert_eq!(rejected.kind(), ErrorKind::Overloaded);
            assert!(rejected.retry_after().is_some());
        }
        assert_eq!(admission.calls(), 3);
        gate.add_permits(3);
        while let Some(call) = calls.join_next().await {
            call.unwrap().unwrap().unwrap();
        }
        assert_eq!(admission.calls(), 0);
        admission.run(&Context::new(), |_| async { Ok(()) }).await.unwrap().unwrap();
        admission.close();
        assert!(admission.run(&Context::new(), |_| async { Ok(()) }).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_outlives_its_call_keeps_its_permit() {
        let admission = Admission::new(1, 0);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = |cx: Context| async move {
            let (_caller_guard, work_guard) = cx.detached_work();
            let _ = sender.send(work_guard);
            std::future::pending::<Result<()>>().await
        };
        let cx = Context::new();
        let call = tokio::time::timeout(Duration::from_secs(1), admission.run(&cx, work));
        assert!(call.await.is_err());
        assert_eq!(admission.calls(), 1);
        drop(receiver.await);
        assert_eq!(admission.calls(), 0);
    }
}
