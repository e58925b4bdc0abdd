//! Deadlines, retries and fallbacks.
//!
//! *Waits for* the step or the clock, whichever is first: for the whole result ([`Step::timeout`],
//! [`Step::deadline`]), for the first output, or for any sign of life ([`Step::idle_timeout`]).
//! *Cancels* the step, really: its future is dropped before the caller continues.
//! *Bounds* time; the attempts and retries of one logical call ([`Retry`]), and the retries of many calls
//! together ([`RetryBudget`](crate::control::RetryBudget)).
//! *Fails with* [`ErrorKind::Timeout`](crate::ErrorKind::Timeout); a retry that gives up, with all attempts as
//! causes. A [`Fallback`] turns the failure into a result that is marked as a fallback.
//!
//! A deadline can only become earlier on the way down, and every wait is planned with it: a retry that cannot
//! fit is not started. Timers have a resolution of one millisecond and never fire early. A step that computes
//! without reaching an `await` cannot be interrupted; put such work under [`Context::blocking`].
//!
//! ```
//! use std::time::Duration;
//! use llmspell::{Context, Retry, Step, step, value};
//! use llmspell::observe::Quality;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let slow = step(|(), _| async move {
//!     tokio::time::sleep(Duration::from_secs(2)).await;
//!     Ok("fresh")
//! });
//! let slow = std::sync::Arc::new(slow);
//!
//! // The second attempt gets more time than the first.
//! let patient = slow.clone()
//!     .timeout([Duration::from_secs(1), Duration::from_secs(3)])
//!     .retry(Retry::immediately().max_attempts(2));
//! assert_eq!(patient.run((), &Context::new()).await?, "fresh");
//!
//! // A fallback provides the result, which is marked as one.
//! let hasty = slow.timeout(Duration::from_secs(1)).fallback(value("cached")).with_outcome();
//! let outcome = hasty.run((), &Context::new()).await?;
//! assert_eq!(outcome.result?, "cached");
//! assert_eq!(outcome.quality, Quality::Fallback);
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod fallback;
mod idle;
mod retry;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub use fallback::Fallback;
pub use idle::IdleTimeout;
pub use retry::{Retried, Retry};

use crate::context::Context;
use crate::error::Result;
use crate::runtime::timing::poll_within;
use crate::step::{Step, StepInfo};

/// The time limits of a step: one for all attempts, or one for each attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeouts(Option<Schedule>);

#[derive(Clone, Debug, PartialEq)]
enum Schedule {
    Same(Duration),
    Each(Arc<[Duration]>),
}

impl Timeouts {
    /// Returns time limits that never apply.
    pub fn never() -> Self {
        Timeouts(None)
    }

    /// Returns the time limit of an attempt, from 1. The last of a list counts for all that follow.
    pub fn of_attempt(&self, attempt: u32) -> Option<Duration> {
        match self.0.as_ref()? {
            Schedule::Same(time) => Some(*time),
            Schedule::Each(times) => times.get((attempt as usize).saturating_sub(1)).or(times.last()).copied(),
        }
    }
}

impl From<Duration> for Timeouts {
    fn from(time: Duration) -> Self {
        Timeouts(Some(Schedule::Same(time)))
    }
}

/// # Panics
/// If the list is empty.
impl<const N: usize> From<[Duration; N]> for Timeouts {
    fn from(times: [Duration; N]) -> Self {
        Timeouts::from(times.to_vec())
    }
}

/// # Panics
/// If the list is empty.
impl From<Vec<Duration>> for Timeouts {
    fn from(times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "a list of timeouts needs at least one entry");
        Timeouts(Some(Schedule::Each(times.into())))
    }
}

/// A step with a timeout; made by [`Step::timeout`] and [`Step::deadline`].
///
/// The step sees the deadline in its [`Context`]. An earlier deadline further out wins.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Timeout<S> {
    step: S,
    limits: Timeouts,
}

impl<S> Timeout<S> {
    pub(crate) fn new(step: S, limits: Timeouts) -> Self {
        Timeout { step, limits }
    }
}

impl<S: Step> Step for Timeout<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(after) = self.limits.of_attempt(cx.attempt()) else {
            return self.step.run(input, cx).await;
        };
        let limit = cx.time_limit(after);
        if limit.is_empty() {
            return Err(cx.timeout_error(&limit));
        }
        let below = cx.within(&limit);
        // Not through `within`, because moving the work costs more than running it if it is ready.
        let mut work = pin!(self.step.run(input, &below));
        let mut timer = pin!(None);
        let result = poll_fn(|task| poll_within(&limit.until, work.as_mut(), timer.as_mut(), task)).await;
        result.unwrap_or_else(|| Err(cx.timeout_error(&limit)))
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
