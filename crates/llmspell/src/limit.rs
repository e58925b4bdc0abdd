//! A limit on how many calls run at once.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::context::{Context, Leased};
use crate::error::{Error, Result};
use crate::event::Fact;
use crate::executor;
use crate::path::Path;
use crate::step::{About, Step};

/// Permits for calls that run at the same time; whoever finds none waits in line.
///
/// Clones share their permits, so one limit can stand for one scarce thing that several steps use. A step
/// that runs under a limit must not need another permit of it: where it would have to wait, it fails.
///
/// ```
/// use llmspell::{Limit, Step, step};
///
/// let connections = Limit::new(8);
/// let read = step(|key: String, _| async move { Ok(key) }).limit(connections.clone());
/// let write = step(|key: String, _| async move { Ok(key) }).limit(connections);
/// # let _ = (read, write);
/// ```
#[derive(Clone, Debug)]
pub struct Limit {
    /// `None` means that there is no limit.
    permits: Option<(Arc<Semaphore>, usize)>,
}

impl Limit {
    /// At most `calls` at once.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn new(calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        Limit { permits: Some((Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))), calls)) }
    }

    /// No limit.
    pub fn unlimited() -> Self {
        Limit { permits: None }
    }

    /// How many calls may run at once; `None` if there is no limit.
    pub fn calls(&self) -> Option<usize> {
        self.permits.as_ref().map(|(_, calls)| *calls)
    }

    /// How many permits are free now; `None` if there is no limit.
    pub fn available(&self) -> Option<usize> {
        self.permits.as_ref().map(|(semaphore, _)| semaphore.available_permits())
    }

    /// Waits for a permit and gives the context to run under; `None` if there is no limit. The permit goes
    /// back once the context, and everything that has kept it with [`Context::hold`], is gone.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) instead of a wait for a permit that only the waiting work
    /// itself might give back.
    pub(crate) async fn admit(&self, cx: &Context) -> Result<Option<Leased>> {
        self.admit_at(cx, None, || None).await
    }

    /// The same, with the name of the step that waits, unless its call has begun already, and the path for
    /// the context to run under.
    pub(crate) async fn admit_at(
        &self,
        cx: &Context,
        name: Option<&str>,
        path: impl FnOnce() -> Option<Path>,
    ) -> Result<Option<Leased>> {
        let Some((semaphore, _)) = &self.permits else { return Ok(None) };
        executor::breathe().await;
        if let Ok(permit) = semaphore.try_acquire() {
            return Ok(Some(cx.under_permit(semaphore, permit, path())));
        }
        if cx.is_under_permit_of(semaphore) {
            let message = "waits for a permit of a limit that it runs under itself, and may wait for ever";
            let hint = "give the inner step a limit of its own";
            return Err(Error::invalid(message).with_hint(hint).at(|| cx.path()));
        }
        let since = cx.recorder().map(|_| Instant::now());
        let step = || name.map(|name| cx.path().join(name));
        cx.fact(|| Fact::Queued { step: step() });
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = semaphore.acquire().await?;
        if let Some(since) = since {
            cx.fact(|| Fact::Admitted { step: step(), waited: since.elapsed() });
        }
        Ok(Some(cx.under_permit(semaphore, permit, path())))
    }
}

impl From<usize> for Limit {
    fn from(calls: usize) -> Self {
        Limit::new(calls)
    }
}

/// A step under a limit; made by [`Step::limit`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Limited<S> {
    step: S,
    limit: Limit,
}

impl<S> Limited<S> {
    pub(crate) fn new(step: S, limit: Limit) -> Self {
        Limited { step, limit }
    }
}

impl<S: Step> Step for Limited<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        match self.limit.admit_at(cx, self.step.about().name, || None).await? {
            Some(cx) => self.step.run(input, &cx).await,
            None => self.step.run(input, cx).await,
        }
    }

    fn about(&self) -> About<'_> {
        self.step.about().limited(self.limit.calls())
    }
}
