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

/// Permits for the calls of one server, whatever connections they come over.
pub(crate) struct Admission {
    inside: Limit,
    running: Limit,
    /// Looking for a place and taking it are one.
    door: Mutex<()>,
    closed: AtomicBool,
    refusal: String,
}

impl Admission {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        Admission {
            inside: Limit::new(running.saturating_add(waiting)),
            running: Limit::new(running),
            door: Mutex::new(()),
            closed: AtomicBool::new(false),
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

    /// Runs `work` when its turn comes.
    ///
    /// # Errors
    /// [`Kind::Overloaded`](llmspell::Kind::Overloaded), at once, if there is no place; and what the work fails with.
    pub(crate) async fn run<T, F, Fut>(&self, cx: &Context, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::overloaded("the server is shutting down"));
        }
        let entered = Arc::new(AtomicBool::new(false));
        let admitted = entered.clone();
        let inner = step(move |work: F, cx: Context| work(cx)).limit(self.running.clone());
        let inner = Arc::new(inner);
        let outer = step(move |work: F, cx: Context| {
            let (inner, admitted) = (inner.clone(), admitted.clone());
            async move {
                admitted.store(true, Ordering::Release);
                // The door is held until here, and not while the work begins.
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
            None => Err(Error::overloaded(self.refusal.clone()).with_retry_after(RETRY_AFTER)),
            Some(Poll::Ready(result)) => result,
            Some(Poll::Pending) => call.await,
        }
    }
}

/// When those who were turned away may come back: there is no telling, and at once would be too soon.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use llmspell::Kind;
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
            let refused = calls.join_next().await.unwrap().unwrap().unwrap_err();
            assert_eq!(refused.kind(), Kind::Overloaded);
            assert!(refused.retry_after().is_some());
        }
        assert_eq!(admission.calls(), 3);
        gate.add_permits(3);
        while let Some(call) = calls.join_next().await {
            call.unwrap().unwrap();
        }
        assert_eq!(admission.calls(), 0);
        admission.run(&Context::new(), |_| async { Ok(()) }).await.unwrap();
        admission.close();
        assert!(admission.run(&Context::new(), |_| async { Ok(()) }).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlives_its_call_keeps_its_place() {
        let admission = Admission::new(1, 0);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = |cx: Context| async move {
            let (_tether, custody) = cx.tether();
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
