//! Retries: the policy, and the adapter that applies it.

mod retried;
mod stop_reason;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::context::{Context, Retries};
use crate::control::retry_budget::{RetryBudget, RetryPermit};
use crate::error::{Error, ErrorKind, Result};

pub use retried::Retried;
use stop_reason::StopReason;

/// The settings of a retry: which errors, how often, and after what delay.
///
/// - *Which errors*: the [transient](Error::is_transient) ones, or those that [`Retry::when`] accepts.
/// - *How often*: [`Retry::max_attempts`], 3 by default, the first included. Nested retries share one budget
///   for each logical call (a stream item is one): the largest of them decides. So three layers of three
///   attempts make three calls, not twenty-seven. [`Retry::retry_budget`] bounds the retries of many calls
///   together.
/// - *How long between*: exponential with full jitter by default. A `Retry-After` of the error is honoured up
///   to [`Retry::max_wait`]; a longer one ends the attempts, so that a fallback can serve.
/// - *Not at all* if the delay would exceed the deadline, or if the work was cancelled. Not if a reader has
///   seen partial output of the failed attempt (see [`Retry::after_output`]). Not if [detached
///   work](crate::Context::detached_work) of an earlier attempt is still running after the delay, unless the
///   step is declared [idempotent](crate::Step::idempotent).
///
/// Full jitter draws each delay from zero to the exponential bound, after Brooker, "Exponential Backoff And
/// Jitter" (AWS Architecture Blog, 2015): of the variants compared there it needs the fewest calls.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{ErrorKind, Retry};
///
/// let patient = Retry::exponential().max_attempts(5).base(Duration::from_millis(200));
/// let stubborn = Retry::delays([Duration::from_secs(1), Duration::from_secs(3)]) // three attempts
///     .when(|error| error.kind() != ErrorKind::Invalid);
/// # let _ = (patient, stubborn);
/// ```
#[derive(Clone)]
#[must_use = "a retry does nothing until a step, a stream or a policy uses it"]
pub struct Retry {
    attempts: u32,
    delay: RetryDelay,
    max_wait: Duration,
    when: Option<Arc<Classify>>,
    after_output: bool,
    retry_budget: Option<RetryBudget>,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

#[derive(Clone, Debug)]
enum RetryDelay {
    Exponential { base: Duration, jitter: bool },
    Schedule(Arc<[Duration]>),
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("delay", &self.delay)
            .field("max_wait", &self.max_wait)
            .field("when", &if self.when.is_some() { "chosen errors" } else { "transient errors" })
            .field("after_output", &self.after_output)
            .field("retry_budget", &self.retry_budget)
            .finish()
    }
}

impl Retry {
    /// Returns a retry with delays that double, from 100 ms to 30 s, with full jitter; 3 attempts.
    pub fn exponential() -> Self {
        Retry {
            attempts: 3,
            delay: RetryDelay::Exponential { base: Duration::from_millis(100), jitter: true },
            max_wait: Duration::from_secs(30),
            when: None,
            after_output: false,
            retry_budget: None,
        }
    }

    /// Returns a retry with exactly these delays; one attempt more than there are delays.
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays: Arc<[Duration]> = delays.into_iter().collect();
        let attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
        Retry { attempts, delay: RetryDelay::Schedule(delays), ..Retry::exponential() }
    }

    /// Returns a retry without delay; 3 attempts. For failures that time does not fix, such as a timeout that
    /// was too short.
    pub fn immediately() -> Self {
        Retry { attempts: 3, ..Retry::delays([]) }
    }

    /// Returns a policy of one attempt: no retry.
    pub fn never() -> Self {
        Retry { attempts: 1, ..Retry::delays([]) }
    }

    /// Sets the number of attempts, the first included. If a schedule has fewer delays, its last one counts for
    /// all that follow.
    ///
    /// # Panics
    /// If `attempts` is 0.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "at least one attempt must be made");
        self.attempts = attempts;
        self
    }

    /// Sets the bound of the first exponential delay, which doubles with each attempt. The default is 100 ms. A
    /// [schedule](Retry::delays) has none, and is not changed.
    pub fn base(mut self, base: Duration) -> Self {
        if let RetryDelay::Exponential { base: old, .. } = &mut self.delay {
            *old = base;
        }
        self
    }

    /// Waits exactly the exponential bound, as a [schedule](Retry::delays) always does. Callers that failed
    /// together then retry together.
    pub fn without_jitter(mut self) -> Self {
        if let RetryDelay::Exponential { jitter, .. } = &mut self.delay {
            *jitter = false;
        }
        self
    }

    /// Sets the longest exponential delay, and the longest `Retry-After` that is honoured. The default is 30 s.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Retries the errors for which `retryable` holds, instead of the transient ones. Cancelled work is never
    /// retried.
    pub fn when(mut self, retryable: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(retryable));
        self
    }

    /// Retries even if a reader has seen output of the failed attempt. The reader receives
    /// [`ChunkData::Restarted`](crate::context::ChunkData::Restarted). By default such a failure is final.
    pub fn after_output(mut self) -> Self {
        self.after_output = true;
        self
    }

    /// Takes each retry from `budget`, and makes none that it does not allow. By default only the attempts of
    /// each call are bounded.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = Some(budget);
        self
    }

    fn accepts(&self, error: &Error) -> bool {
        error.kind() != ErrorKind::Cancelled
            && match &self.when {
                Some(when) => when(error),
                None => error.is_transient(),
            }
    }

    /// Returns the delay after the failed attempt number `attempt`, from 1.
    fn delay(&self, attempt: u32) -> Duration {
        match &self.delay {
            RetryDelay::Schedule(delays) => {
                delays.get(attempt as usize - 1).or(delays.last()).copied().unwrap_or_default()
            }
            RetryDelay::Exponential { base, jitter } => {
                let bound = base.saturating_mul(1 << (attempt - 1).min(31)).min(self.max_wait);
                if *jitter { bound.mul_f64(fastrand::f64()) } else { bound }
            }
        }
    }

    /// Decides whether another attempt follows `error`. Fails with the reason if none does.
    fn next(&self, attempt: u32, error: &Error, cx: &Context) -> Result<NextAttempt<'_>, StopReason> {
        // Read first in any case, so that the answer is about this attempt alone.
        let output_seen = cx.retries().is_some_and(Retries::take_output_seen);
        if !self.accepts(error) || cx.is_signalled() {
            return Err(StopReason::Final);
        }
        if attempt >= self.attempts {
            return Err(StopReason::Attempts);
        }
        if output_seen && !self.after_output {
            return Err(StopReason::VisibleOutput);
        }
        let wait = match error.retry_after() {
            Some(asked) if asked > self.max_wait => return Err(StopReason::RetryAfter(asked)),
            Some(asked) => asked.max(self.delay(attempt)),
            None => self.delay(attempt),
        };
        if !cx.fits(wait) {
            return Err(StopReason::Deadline);
        }
        let taken = match &self.retry_budget {
            Some(budget) => Some(budget.take().ok_or(StopReason::RetryBudget)?),
            None => None,
        };
        if cx.retries().is_some_and(Retries::spend) {
            Ok(NextAttempt { wait, output_seen, taken })
        } else {
            Err(StopReason::Nested)
        }
    }
}

/// The next attempt.
struct NextAttempt<'a> {
    wait: Duration,
    /// Whether a reader has seen output that no longer counts.
    output_seen: bool,
    /// The retry taken from the budget that is shared with other calls.
    taken: Option<RetryPermit<'a>>,
}
