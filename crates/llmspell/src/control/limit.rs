//! A limit on how many calls run at once, and the adapter that puts it around a step.

mod adaptive;
mod limited;

use std::fmt;
use std::sync::Arc;

pub use adaptive::Adaptive;
use adaptive::AdaptiveLimit;
pub use limited::Limited;

use crate::context::{AcquiredPermit, Context, LeasedContext, Permits};
use crate::error::{Error, Result};
use crate::observe::event::WaitKind;
use crate::path::Path;
use crate::runtime::semaphore::{Load, Semaphore};
use crate::runtime::timing::yield_if_due;

/// A concurrency limit: a number of permits, of which each running call holds one.
///
/// A call that finds no free permit waits, first come, first served. Clones share their permits, so one limit can
/// stand for one scarce resource that several steps use. A step that runs under a limit must not need a second permit
/// of it: where it would have to wait, it fails.
///
/// If the capacity of the other side is not known, [`Limit::adaptive`] finds it.
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
#[must_use = "a limit does nothing until a step, a stream or a policy has it"]
pub struct Limit {
    /// `None` means that there is no limit.
    semaphore: Option<Arc<Permits>>,
    /// `None` means that the limit is fixed.
    adaptive: Option<Arc<AdaptiveLimit>>,
}

impl Limit {
    /// Creates a limit of `permits`.
    ///
    /// # Panics
    /// If `permits` is 0, because nothing would ever run.
    pub fn new(permits: usize) -> Self {
        assert_positive(permits);
        Limit { semaphore: Some(Arc::new(Semaphore::new(permits))), adaptive: None }
    }

    /// Creates a limit that adapts to the other side; its clones learn together.
    ///
    /// # Panics
    /// If the lower bound of the limit is above the upper one.
    pub fn adaptive(settings: Adaptive) -> Self {
        let adaptive = AdaptiveLimit::new(settings);
        Limit { semaphore: Some(adaptive.semaphore().clone()), adaptive: Some(Arc::new(adaptive)) }
    }

    /// Creates a limit that limits nothing.
    pub fn unlimited() -> Self {
        Limit { semaphore: None, adaptive: None }
    }

    /// Lends up to `permits` beyond the limit, in place of those that runaways hold. The default is 0.
    ///
    /// Work that cannot be dropped, such as a thread, keeps its permit when its caller goes away, for example because
    /// of a timeout: it still uses the limited resource. Enough of such runaways block everything behind the limit.
    /// With an overdraft, as many calls as there are runaways are admitted beyond the limit, up to this number. A
    /// runaway that ends repays the loan: its permit does not go to a waiting call. So the number of running calls,
    /// runaways included, never exceeds the limit plus the overdraft.
    ///
    /// Unlike the settings of other policies, this one can be changed at any time. It applies to all clones.
    pub fn overdraft(self, permits: usize) -> Self {
        if let Some(semaphore) = &self.semaphore {
            semaphore.set_overdraft(permits);
        }
        self
    }

    /// Changes the number of permits, for all clones and at any time. Returns whether there is a limit to change.
    ///
    /// When the limit grows, waiting calls are admitted at once. When it shrinks, running calls continue, and no call
    /// is admitted until enough of them have ended.
    ///
    /// For an adaptive limit this sets the upper bound, in place of [`Adaptive::max`]. A limit above the new bound
    /// falls to it at once, and adapts from there. The lower bound is lowered if necessary.
    ///
    /// A [stream](crate::Step::stream) takes the number of its items in flight from the limit when it is created. To use a
    /// larger limit fully, resize the stream as well, with
    /// [`Streaming::limit_handle`](crate::pattern::stream::Streaming::limit_handle).
    ///
    /// ```
    /// let limit = llmspell::Limit::new(8);
    /// let clone = limit.clone();
    /// assert!(limit.resize(2));
    /// assert_eq!(clone.permits(), Some(2));
    /// ```
    ///
    /// # Panics
    /// If `permits` is 0, because nothing would ever run.
    pub fn resize(&self, permits: usize) -> bool {
        assert_positive(permits);
        match (&self.semaphore, &self.adaptive) {
            (_, Some(adaptive)) => adaptive.set_max(permits),
            (Some(semaphore), None) => semaphore.resize(permits).wake(),
            (None, None) => return false,
        }
        true
    }

    /// Returns how many calls can run at once, at present if the limit adapts; `None` if there is no limit.
    pub fn permits(&self) -> Option<usize> {
        self.load().map(|load| load.capacity)
    }

    /// Returns the largest number of calls that can ever run at once; `None` if there is no limit.
    pub fn max_permits(&self) -> Option<usize> {
        self.adaptive.as_ref().map(|adaptive| adaptive.max()).or_else(|| self.permits())
    }

    /// Returns how many permits are free now; `None` if there is no limit.
    pub fn available(&self) -> Option<usize> {
        self.load().map(|load| load.available)
    }

    /// Returns how many calls wait for a permit.
    pub fn waiting(&self) -> usize {
        self.load().map_or(0, |load| load.waiting)
    }

    /// Returns the argument of [`AcquiredPermit::try_acquire`] and [`Limit::wait`]; `None` if there is no limit.
    pub(crate) fn semaphore(&self) -> Option<&Arc<Permits>> {
        self.semaphore.as_ref()
    }

    /// Returns how busy the limit is; `None` if there is no limit.
    pub(crate) fn load(&self) -> Option<Load> {
        self.semaphore.as_ref().map(|semaphore| semaphore.load())
    }

    /// Returns the adaptive limit that must observe each call; `None` if the limit is fixed, or there is none.
    pub(crate) fn adaptive_limit(&self) -> Option<&AdaptiveLimit> {
        self.adaptive.as_deref()
    }

    /// Waits for a permit, and returns the context to run under; `None` if there is no limit. The permit is released
    /// once the context, and everything that has kept it with [`Context::hold`], is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) instead of a wait for a permit that only the waiting work
    /// itself could release.
    pub(crate) async fn admit(&self, cx: &Context) -> Result<Option<LeasedContext<'_>>> {
        self.admit_at(cx, None, || None).await
    }

    /// Like [`Limit::admit`]. `name` is that of the waiting step, unless its call has begun already; `path` is that of
    /// the returned context.
    pub(crate) async fn admit_at<'a>(
        &'a self,
        cx: &Context,
        name: Option<&str>,
        path: impl FnOnce() -> Option<Path>,
    ) -> Result<Option<LeasedContext<'a>>> {
        let Some(semaphore) = &self.semaphore else { return Ok(None) };
        yield_if_due().await;
        let permit = match AcquiredPermit::try_acquire(semaphore) {
            Some(permit) => permit,
            None => Limit::wait(semaphore, cx, name).await.map_err(|error| error.at(|| cx.path()))?,
        };
        Ok(Some(cx.under_permit(permit, path())))
    }

    /// Waits for a permit, until the call is cancelled or its deadline passes. Separate from the case that a permit is
    /// free, which must be cheap.
    #[cold]
    pub(crate) async fn wait<'a>(
        semaphore: &'a Arc<Permits>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<AcquiredPermit<'a>> {
        if cx.is_under(semaphore) {
            let message = "waits for a permit of a limit that it runs under itself, and could wait for ever";
            let hint = "give the inner step its own limit";
            return Err(Error::invalid(message).with_hint(hint));
        }
        if cx.recorder().is_none() && !cx.can_be_cancelled() && !cx.is_metered() {
            return Ok(AcquiredPermit::acquire(semaphore).await);
        }
        // Boxed, so that calls which do not wait do not carry the state of a wait.
        Box::pin(Limit::wait_observed(semaphore, cx, name)).await
    }

    /// Like [`Limit::wait`], where the wait can be cancelled, is recorded, or is metered by a rate further out.
    async fn wait_observed<'a>(
        semaphore: &'a Arc<Permits>,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<AcquiredPermit<'a>> {
        loop {
            let permit = async { Ok(AcquiredPermit::acquire(semaphore).await) };
            let permit = cx.admit(WaitKind::Limit, name, cx.deadline(), permit).await?;
            if !cx.is_revoked() {
                return Ok(permit);
            }
            // A pause has begun at a rate further out. Other calls can use the permit meanwhile.
            drop(permit);
            cx.renew_reservations(name).await?;
            if let Some(permit) = AcquiredPermit::try_acquire(semaphore) {
                return Ok(permit);
            }
        }
    }
}

#[track_caller]
fn assert_positive(permits: usize) {
    assert!(permits > 0, "a limit must be at least 1: with 0, nothing would ever run");
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
    fn from(permits: usize) -> Self {
        Limit::new(permits)
    }
}
