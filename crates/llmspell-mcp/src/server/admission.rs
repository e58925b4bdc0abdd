//! How many calls a server takes on.
//!
//! Two limits of the library, one inside of the other: `running` calls run, and `running + waiting` are there at all.
//! Whoever finds no place in the outer one is turned away at once. Work that outlives its call keeps its places in
//! both.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use llmspell::{Context, Error, Limit, Result, Step, step};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Permits for the calls of one server, whatever connections they come over.
pub(crate) struct Admission {
    inside: Limit,
    running: Limit,
    /// Looking for a place and taking it are one.
    door: Mutex<()>,
    closed: AtomicBool,
    /// Cancelled once calls have had their time to drain, and some are left.
    end: CancellationToken,
    refusal: String,
}

/// A call that was not taken on. An error of the work is none of these, of whatever kind it is.
#[derive(Debug)]
pub(crate) struct Overloaded(pub(crate) Error);

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        Admission {
            inside: Limit::new(running.saturating_add(waiting)),
            running: Limit::new(running),
            door: Mutex::new(()),
            closed: AtomicBool::new(false),
            end: CancellationToken::new(),
            refusal: format!("overloaded: {running} calls run and {waiting} wait already"),
        }
    }

    /// Takes on no more calls.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// How many calls there are, runaways included.
    pub(crate) fn calls(&self) -> usize {
        self.inside.calls().unwrap_or_default() - self.inside.available().unwrap_or_default()
    }

    /// Takes on no more calls, and waits for those under way, but not for ever: then they are [ended](Admission::ended).
    pub(crate) async fn drain(&self, longest: Duration) {
        self.close();
        let drained = async {
            // Looked at time and again, for a limit tells nobody that the last runaway has ended.
            while self.calls() > 0 {
                sleep(POLL_INTERVAL).await;
            }
        };
        if timeout(longest, drained).await.is_err() {
            self.end();
        }
    }

    /// Waits for no call any more.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Completes when what is left of the calls is not waited for any more.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Runs `work` when its turn comes, and gives what comes of it.
    ///
    /// # Errors
    /// A [`Overloaded`], at once, if there is no place.
    pub(crate) async fn run<T, F, Fut>(&self, cx: &Context, work: F) -> Result<Result<T>, Overloaded>
    where
        T: Send + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        if self.closed.load(Ordering::Acquire) {
            return Err(Overloaded(Error::overloaded("the server is shutting down")));
        }
        let inner = step(move |work: F, cx: Context| work(cx)).limit(self.running.clone());
        let inner = Arc::new(inner);
        let outer = step(move |work: F, cx: Context| {
            let inner = inner.clone();
            async move {
                // The place is taken: the door opens here, and not only once the work has begun.
                tokio::task::yield_now().await;
                inner.run(work, &cx).await
            }
        });
        let outer = outer.limit(self.inside.clone());
        let mut call = pin!(outer.run(work, cx));
        let first = poll_fn(|task| {
            let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
            if self.inside.available() == Some(0) {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(call.as_mut().poll(task)))
        })
        .await;
        match first {
            None => Err(Overloaded(Error::overloaded(self.refusal.clone()).with_retry_after(RETRY_AFTER))),
            Some(Poll::Ready(result)) => Ok(result),
            Some(Poll::Pending) => Ok(call.await),
        }
    }
}

/// When those who were turned away may come back: there is no telling, and at once would be too soon.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether calls are left while the server drains.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use llmspell::ErrorKind;
    use tokio::sync::Semaphore;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_is_turned_away_at_once_and_places_come_back() {
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
            let Overloaded(refused) = calls.join_next().await.unwrap().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Overloaded);
            assert!(refused.retry_after().is_some());
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
    async fn what_outlives_its_call_keeps_its_place() {
        let admission = Admission::new(1, 0);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = |cx: Context| async move {
            let (_tether, custody) = cx.detached_work();
            let _ = sender.send(custody);
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
