//! A limit on how many calls run at once.

mod adaptive;
mod semaphore;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use adaptive::Adapting;
pub use adaptive::Adaptive;
pub(crate) use semaphore::{Load, Permit, Semaphore};

use crate::context::{AcquiredPermit, Context, LeasedContext, Permits};
use crate::error::{Error, Result};
use crate::observe::event::{EventKind, RejectedBy, WaitKind};
use crate::path::Path;
use crate::runtime::executor;
use crate::step::{Step, StepInfo};

/// Permits for calls that run at the same time; whoever finds none waits in line.
///
/// Clones share their permits, so one limit can stand for one scarce thing that several steps use. A step
/// that runs under a limit must not need another permit of it: where it would have to wait, it fails.
///
/// If nobody knows how many calls the other side can take, [`Limit::adaptive`] finds out.
///
/// ```
/// use llmspell::{Limit, Step, step};
///
/// let connections = Limit::new(8);
/// let read = step(|key: String, _| async move { Ok(key) }).limit(connections.clone());
/// let write = step(|key: String, _| async move { Ok(key) }).limit(connections);
/// # let _ = (read, write);
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Limit {
    /// `None` means that there is no limit.
    permits: Option<Arc<Permits>>,
    /// `None` means that the limit is fixed.
    adapting: Option<Arc<Adapting>>,
}

impl Limit {
    /// At most `calls` at once.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn new(calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        Limit { permits: Some(Arc::new(Semaphore::new(calls))), adapting: None }
    }

    /// A limit that finds itself, as `how` says; its clones find it together.
    ///
    /// # Panics
    /// If the lower bound of the limit is above the upper one.
    pub fn adaptive(how: Adaptive) -> Self {
        let adapting = Adapting::new(how);
        Limit { permits: Some(adapting.permits().clone()), adapting: Some(Arc::new(adapting)) }
    }

    /// No limit.
    pub fn unlimited() -> Self {
        Limit { permits: None, adapting: None }
    }

    /// Lends out up to `calls` permits in the place of those that runaways keep. The default is 0.
    ///
    /// Work that cannot be dropped, such as a thread, keeps its permit when its caller goes away, say because of
    /// a timeout, for it still uses what the limit stands for. Enough of such runaways bring everything behind
    /// the limit to a halt. With an overdraft, as many calls as there are runaways are admitted beyond the limit,
    /// up to this number; a runaway that ends at last repays the loan, and its permit goes to nobody. So never
    /// more calls are alive than the limit and the overdraft together, runaways included; without one, never
    /// more than the limit.
    ///
    /// Unlike the setters of other policies this may be called at any time: it counts for all clones of this limit.
    pub fn overdraft(self, calls: usize) -> Self {
        if let Some(permits) = &self.permits {
            permits.set_overdraft(calls);
        }
        self
    }

    /// Changes how many calls may run at once, for all clones of this limit and at any time. Says whether there is a
    /// limit to change.
    ///
    /// When it grows, calls that wait are let in at once. When it shrinks, calls that run stay, and nobody is let in
    /// until enough of them have ended.
    ///
    /// Of a limit that adapts this is the most that it may be, whatever [`Adaptive::max`] said: if it is above, it falls
    /// to that at once, and goes on finding itself from there. Its lower bound gives way where it has to.
    ///
    /// How many items a [stream](Step::stream) keeps in flight was settled by the limit when the stream was made. For a
    /// larger one to be used up, resize that as well, with [`Streaming::limit_handle`](crate::Streaming::limit_handle).
    ///
    /// ```
    /// let limit = llmspell::Limit::new(8);
    /// let clone = limit.clone();
    /// assert!(limit.resize(2));
    /// assert_eq!(clone.calls(), Some(2));
    /// ```
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn resize(&self, calls: usize) -> bool {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        match (&self.permits, &self.adapting) {
            (_, Some(adapting)) => adapting.bound(calls),
            (Some(permits), None) => permits.resize(calls).wake(),
            (None, None) => return false,
        }
        true
    }

    /// How many calls may run at once, for the present if the limit adapts; `None` if there is no limit.
    pub fn calls(&self) -> Option<usize> {
        self.load().map(|load| load.capacity)
    }

    /// How many calls may ever run at once, also if the limit adapts; `None` if there is no limit.
    pub fn most(&self) -> Option<usize> {
        self.adapting.as_ref().map(|adapting| adapting.most()).or_else(|| self.calls())
    }

    /// How many permits are free now; `None` if there is no limit.
    pub fn available(&self) -> Option<usize> {
        self.load().map(|load| load.available)
    }

    /// How many calls wait for a permit.
    pub fn waiting(&self) -> usize {
        self.load().map_or(0, |load| load.waiting)
    }

    /// What [`AcquiredPermit::try_acquire`] and [`Limit::wait`] take; `None` if there is no limit.
    pub(crate) fn permits(&self) -> Option<&Arc<Permits>> {
        self.permits.as_ref()
    }

    /// How busy it is; `None` if there is no limit.
    pub(crate) fn load(&self) -> Option<Load> {
        self.permits.as_ref().map(|permits| permits.load())
    }

    /// What the calls under it are to run by; `None` if the limit is fixed, or none.
    pub(crate) fn adapting(&self) -> Option<&Adapting> {
        self.adapting.as_deref()
    }

    /// Waits for a permit and gives the context to run under; `None` if there is no limit. The permit goes
    /// back once the context, and everything that has kept it with [`Context::hold`], is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) instead of a wait for a permit that only the waiting work
    /// itself might give back.
    pub(crate) async fn admit(&self, cx: &Context) -> Result<Option<LeasedContext<'_>>> {
        self.admit_at(cx, None, || None).await
    }

    /// The same, with the name of the step that waits, unless its call has begun already, and the path for
    /// the context to run under.
    pub(crate) async fn admit_at<'a>(
        &'a self,
        cx: &Context,
        name: Option<&str>,
        path: impl FnOnce() -> Option<Path>,
    ) -> Result<Option<LeasedContext<'a>>> {
        let Some(permits) = &self.permits else { return Ok(None) };
        executor::yield_if_due().await;
        let grant = match AcquiredPermit::try_acquire(permits) {
            Some(grant) => grant,
            None => Limit::wait(permits, cx, name).await.map_err(|error| error.at(|| cx.path()))?,
        };
        Ok(Some(cx.under_permit(grant, path())))
    }

    /// Waits in line for a permit, for as long as the call is wanted. Apart from the case that one is free, which
    /// must be cheap.
    #[cold]
    pub(crate) async fn wait<'a>(
        permits: &'a Arc<Permits>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<AcquiredPermit<'a>> {
        if cx.is_under(permits) {
            let message = "waits for a permit of a limit that it runs under itself, and may wait for ever";
            let hint = "give the inner step a limit of its own";
            return Err(Error::invalid(message).with_hint(hint));
        }
        if cx.recorder().is_none() && !cx.can_be_cancelled() && !cx.is_metered() {
            return Ok(AcquiredPermit::acquire(permits).await);
        }
        // Boxed, so that calls which need not wait do not carry what it takes to.
        Box::pin(Limit::wait_watched(permits, cx, name)).await
    }

    /// The same where somebody may have something to say while the call waits, or wants to hear of it.
    async fn wait_watched<'a>(
        permits: &'a Arc<Permits>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<AcquiredPermit<'a>> {
        loop {
            let since = Instant::now();
            let step = || name.map(|name| cx.path().join(name));
            cx.record_event(|| EventKind::Queued { step: step(), queue: WaitKind::Limit });
            let grant = cx.wait_or_cancelled(cx.deadline(), AcquiredPermit::acquire(permits)).await;
            match &grant {
                Ok(_) => cx.record_event(|| EventKind::Admitted {
                    step: step(),
                    queue: WaitKind::Limit,
                    waited: since.elapsed(),
                }),
                Err(error) => {
                    cx.record_event(|| EventKind::Refused { step: step(), by: RejectedBy::Limit, error: error.into() })
                }
            }
            let grant = grant?;
            if !cx.is_revoked() {
                return Ok(grant);
            }
            // A pause has begun at a rate further out, and others may have use for the permit meanwhile.
            drop(grant);
            cx.renew_reservations(name).await?;
            if let Some(grant) = AcquiredPermit::try_acquire(permits) {
                return Ok(grant);
            }
        }
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load() {
            Some(load) => fmt::Debug::fmt(&load, f),
            None => f.write_str("Limit::unlimited()"),
        }
    }
}

impl From<usize> for Limit {
    fn from(calls: usize) -> Self {
        Limit::new(calls)
    }
}

/// What a stream keeps in flight, at the most, because of a limit that adapts.
const MANY: usize = 1024;

/// A step under a limit; made by [`Step::limit`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Limited<S> {
    step: S,
    limit: Limit,
    /// Whether it is for this one to say that a call has begun.
    reports_start: bool,
}

impl<S: Step> Limited<S> {
    pub(crate) fn new(step: S, limit: Limit) -> Self {
        let reports_start = limit.permits.is_some() && !step.info().reports_start;
        Limited { step, limit, reports_start }
    }
}

impl<S: Step> Step for Limited<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(permits) = &self.limit.permits else { return self.step.run(input, cx).await };
        executor::yield_if_due().await;
        let grant = match AcquiredPermit::try_acquire(permits) {
            Some(grant) => grant,
            None => {
                let wait = Limit::wait(permits, cx, self.step.info().name);
                wait.await.map_err(|error| error.at(|| cx.path()))?
            }
        };
        let cx = cx.under_permit(grant, None);
        if self.reports_start {
            cx.report_start();
        }
        match &self.limit.adapting {
            None => self.step.run(input, &cx).await,
            Some(adapting) => adapting.run(&self.step, input, &cx).await,
        }
    }

    fn info(&self) -> StepInfo<'_> {
        let Some(most) = self.limit.most() else { return self.step.info() };
        let about = self.step.info().limited(most).reporting_start();
        match &self.limit.adapting {
            // It grows only while all of it is in use, so somebody should be in line.
            Some(adapting) => about.in_flight(about.default_in_flight.max(adapting.most().min(MANY) + 1)),
            None => about,
        }
    }
}
