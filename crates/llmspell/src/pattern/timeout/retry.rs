//! Another attempt, later.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::context::{Context, Retries};
use crate::control::retry_budget::{RetryBudget, Taken};
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::{EventKind, RetryStop};
use crate::runtime::executor::{after, within, yield_if_due};
use crate::step::{Step, StepInfo};

/// When to try again, how often, and after what wait.
///
/// - *Which errors*: the [transient](Error::is_transient) ones, or those that [`Retry::when`] picks.
/// - *How often*: [`Retry::max_attempts`], 3 by default, the first included. Retries that are nested in one
///   another share one budget for each logical call (an item of a stream is one): the most generous of
///   them says how many retries there may be in all, so three layers of three attempts make three calls,
///   not twenty-seven. [`Retry::retry_budget`] bounds what many calls may do together.
/// - *How long between*: exponential with full jitter by default. A `Retry-After` of the error is honoured
///   up to [`Retry::max_wait`]; one that is longer ends the attempts, so that a fallback can serve.
/// - *Not at all* if the wait would outlast the deadline, if the work was cancelled, if a reader has seen
///   partial output of the failed attempt (see [`Retry::after_output`]), or if after the wait something of an
///   earlier attempt that could not be dropped is still [alive](Context::tether), unless the step is declared
///   [idempotent](Step::idempotent).
///
/// Full jitter draws each wait from zero to the exponential bound, after Brooker, "Exponential Backoff And
/// Jitter" (AWS Architecture Blog, 2015): of the variants compared there it needs the fewest calls.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{ErrorKind, Retry};
///
/// let patient = Retry::exponential().max_attempts(5).base(Duration::from_millis(200));
/// let stubborn = Retry::waits([Duration::from_secs(1), Duration::from_secs(3)]) // three attempts
///     .when(|error| error.kind() != ErrorKind::Invalid);
/// # let _ = (patient, stubborn);
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Retry {
    attempts: u32,
    wait: Wait,
    max_wait: Duration,
    when: Option<Arc<Classify>>,
    after_output: bool,
    retry_budget: Option<RetryBudget>,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

#[derive(Clone, Debug)]
enum Wait {
    Exponential { base: Duration, jitter: bool },
    Schedule(Arc<[Duration]>),
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("wait", &self.wait)
            .field("max_wait", &self.max_wait)
            .field("when", &if self.when.is_some() { "chosen errors" } else { "transient errors" })
            .field("after_output", &self.after_output)
            .field("retry_budget", &self.retry_budget)
            .finish()
    }
}

impl Retry {
    /// Waits that double, from 100 ms to 30 s, with full jitter; 3 attempts.
    pub fn exponential() -> Self {
        Retry {
            attempts: 3,
            wait: Wait::Exponential { base: Duration::from_millis(100), jitter: true },
            max_wait: Duration::from_secs(30),
            when: None,
            after_output: false,
            retry_budget: None,
        }
    }

    /// The given waits, exactly; one attempt more than there are waits.
    pub fn waits(waits: impl IntoIterator<Item = Duration>) -> Self {
        let waits: Arc<[Duration]> = waits.into_iter().collect();
        let attempts = u32::try_from(waits.len()).unwrap_or(u32::MAX).saturating_add(1);
        Retry { attempts, wait: Wait::Schedule(waits), ..Retry::exponential() }
    }

    /// No wait; 3 attempts. For failures that waiting does not mend, such as a timeout that was too short.
    pub fn immediately() -> Self {
        Retry { attempts: 3, ..Retry::waits([]) }
    }

    /// One attempt: no retry.
    pub fn never() -> Self {
        Retry { attempts: 1, ..Retry::waits([]) }
    }

    /// How many attempts there are, the first included. If there are more than waits in a schedule, its
    /// last wait counts for all that follow.
    ///
    /// # Panics
    /// If `attempts` is 0.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "at least one attempt must be made");
        self.attempts = attempts;
        self
    }

    /// The bound of the first exponential wait; it doubles with each attempt. The default is 100 ms. A
    /// [schedule](Retry::waits) has none, and stays as it is.
    pub fn base(mut self, base: Duration) -> Self {
        if let Wait::Exponential { base: old, .. } = &mut self.wait {
            *old = base;
        }
        self
    }

    /// Waits exactly the exponential bound, as a [schedule](Retry::waits) always does. Many callers that failed together then come back together.
    pub fn without_jitter(mut self) -> Self {
        if let Wait::Exponential { jitter, .. } = &mut self.wait {
            *jitter = false;
        }
        self
    }

    /// The longest exponential wait, and the longest `Retry-After` that is waited for. The default is 30 s.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Retries the errors for which `retryable` holds, instead of the transient ones. Cancelled work is
    /// never retried.
    pub fn when(mut self, retryable: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(retryable));
        self
    }

    /// Retries even if a reader has seen output of the failed attempt; the reader is told with
    /// [`ChunkData::Restarted`](crate::ChunkData::Restarted). By default such a failure is final.
    pub fn after_output(mut self) -> Self {
        self.after_output = true;
        self
    }

    /// Draws on `budget` for each retry, and makes none that it does not allow. By default only the attempts
    /// of each call are bounded.
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

    /// The wait after the given failed attempt, from 1.
    fn wait(&self, attempt: u32) -> Duration {
        match &self.wait {
            Wait::Schedule(waits) => waits.get(attempt as usize - 1).or(waits.last()).copied().unwrap_or_default(),
            Wait::Exponential { base, jitter } => {
                let bound = base.saturating_mul(1 << (attempt - 1).min(31)).min(self.max_wait);
                if *jitter { bound.mul_f64(fastrand::f64()) } else { bound }
            }
        }
    }

    /// Whether and how to go on after `error`; the reason if not.
    fn next(&self, attempt: u32, error: &Error, cx: &Context) -> Result<Next<'_>, Stop> {
        // Asked first, so that the answer is about this attempt alone.
        let shown = cx.retries().is_some_and(Retries::take_shown);
        if !self.accepts(error) || cx.is_signalled() {
            return Err(Stop::Final);
        }
        if attempt >= self.attempts {
            return Err(Stop::Attempts);
        }
        if shown && !self.after_output {
            return Err(Stop::VisibleOutput);
        }
        let wait = match error.retry_after() {
            Some(asked) if asked > self.max_wait => return Err(Stop::RetryAfter(asked)),
            Some(asked) => asked.max(self.wait(attempt)),
            None => self.wait(attempt),
        };
        if !cx.fits(wait) {
            return Err(Stop::Deadline);
        }
        let taken = match &self.retry_budget {
            Some(budget) => Some(budget.take().ok_or(Stop::RetryBudget)?),
            None => None,
        };
        if cx.retries().is_some_and(Retries::spend) { Ok(Next { wait, shown, taken }) } else { Err(Stop::Nested) }
    }
}

/// The attempt that follows.
struct Next<'a> {
    wait: Duration,
    /// Whether a reader has seen output that no longer counts.
    shown: bool,
    /// What it takes out of the budget that it shares with other calls.
    taken: Option<Taken<'a>>,
}

/// Why there is no further attempt.
enum Stop {
    /// The error does not call for one.
    Final,
    Attempts,
    /// The retries of this call are used up, in all the retries that are nested.
    Nested,
    /// Those of many calls are.
    RetryBudget,
    Deadline,
    VisibleOutput,
    RetryAfter(Duration),
    Runaway,
    Cancelled,
}

impl Stop {
    /// The reason as events tell it; `None` if they do not.
    fn reason(&self) -> Option<RetryStop> {
        match self {
            Stop::Final | Stop::Cancelled => None,
            Stop::Attempts => Some(RetryStop::Attempts),
            Stop::Nested => Some(RetryStop::NestedRetries),
            Stop::RetryBudget => Some(RetryStop::RetryBudget),
            Stop::Deadline => Some(RetryStop::Deadline),
            Stop::VisibleOutput => Some(RetryStop::VisibleOutput),
            Stop::RetryAfter(_) => Some(RetryStop::RetryAfter),
            Stop::Runaway => Some(RetryStop::Runaway),
        }
    }

    fn explain(&self, attempts: u32) -> String {
        let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        match self {
            Stop::Final | Stop::Attempts => format!("gave up after {times}"),
            Stop::Nested => format!("gave up after {times}: the retries of this call are used up"),
            Stop::RetryBudget => format!("gave up after {times}: the retry budget that calls share is used up"),
            Stop::Deadline => format!("gave up after {times}: another would not fit before the deadline"),
            Stop::VisibleOutput => format!("gave up after {times}: its output has been seen already"),
            Stop::Runaway => format!("gave up after {times}: it cannot be stopped and is still running"),
            Stop::Cancelled => format!("cancelled after {times}"),
            Stop::RetryAfter(asked) => {
                format!("gave up after {times}: asked to wait {}", display::duration(*asked))
            }
        }
    }
}

/// A step that is tried more than once; made by [`Step::retry`].
///
/// The attempt is in the [context](Context::attempt) of the step, and what failed on the way to a result is
/// in its [`Outcome`](crate::Outcome). A retry that gives up fails with [`ErrorKind::AllFailed`] and all attempts
/// as causes; an error that is not worth a second attempt comes out as it is.
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Retried<S> {
    step: S,
    policy: Retry,
}

impl<S> Retried<S> {
    pub(crate) fn new(step: S, policy: Retry) -> Self {
        Retried { step, policy }
    }
}

impl<S: Step> Retried<S> {
    /// What speaks against the next attempt now that its wait is over.
    async fn second_thoughts(&self, cx: &Context) -> Option<Stop> {
        if let Some(retries) = cx.retries()
            && !self.step.info().idempotent
            && !retries.are_alone(cx).await
        {
            return Some(if cx.is_signalled() { Stop::Cancelled } else { Stop::Runaway });
        }
        // Timers and the scheduler are late now and then, and the wait may have been planned to the last moment.
        cx.is_past_deadline().then_some(Stop::Deadline)
    }
}

impl<S: Step<In: Clone>> Step for Retried<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let paid = self.policy.retry_budget.as_ref().and_then(|budget| cx.paid_into(budget));
        let cx = paid.as_ref().unwrap_or(cx);
        if self.policy.attempts == 1 {
            return self.step.run(input, cx).await;
        }
        let mut cx = cx.under_retry(self.policy.attempts - 1);
        let mut failures: Vec<Error> = Vec::new();
        let mut input = Some(input);
        for attempt in 1.. {
            // The last attempt gets the input itself.
            let given = if attempt == self.policy.attempts { input.take() } else { input.clone() };
            let Some(given) = given else { break };
            cx.set_attempt(attempt);
            // What a failed attempt has collected does not count.
            let trial = cx.apart();
            let error = match self.step.run(given, trial.as_ref().unwrap_or(&cx)).await {
                Ok(output) => {
                    if let Some(trial) = &trial {
                        cx.take_over(trial);
                    }
                    if !failures.is_empty() {
                        cx.note(|entries| entries.add_failures(failures));
                    }
                    return Ok(output);
                }
                Err(error) => error.at(|| cx.path()),
            };
            cx.fact(|| EventKind::AttemptFailed { attempt, error: (&error).into() });
            match self.policy.next(attempt, &error, &cx) {
                Ok(Next { wait, shown, taken }) => {
                    failures.push(error);
                    cx.fact(|| EventKind::Retrying { attempt: attempt + 1, delay: wait });
                    if pause(wait, &cx).await.is_err() {
                        return Err(gave_up(&Stop::Cancelled, failures).at(|| cx.path()));
                    }
                    if let Some(stop) = self.second_thoughts(&cx).await {
                        if let Some(reason) = stop.reason() {
                            cx.fact(|| EventKind::RetryRefused { reason });
                        }
                        return Err(gave_up(&stop, failures).at(|| cx.path()));
                    }
                    cx.set_attempt(attempt + 1);
                    cx.note_throughout(|entries| entries.add_retry());
                    cx.restart(shown).await;
                    if let Some(taken) = taken {
                        taken.spend();
                    }
                }
                Err(Stop::Final) if failures.is_empty() => return Err(error),
                Err(stop) => {
                    if let Some(reason) = stop.reason() {
                        cx.fact(|| EventKind::RetryRefused { reason });
                    }
                    failures.push(error);
                    return Err(gave_up(&stop, failures).at(|| cx.path()));
                }
            }
        }
        unreachable!("the last attempt either succeeds or is refused a successor")
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// Waits between attempts, unless the work is cancelled meanwhile.
async fn pause(wait: Duration, cx: &Context) -> Result<(), ()> {
    if wait.is_zero() {
        yield_if_due().await;
        return if cx.is_signalled() { Err(()) } else { Ok(()) };
    }
    if !cx.has_signals() {
        sleep(wait).await;
        return Ok(());
    }
    within(after(Instant::now(), wait), cx.signalled()).await.map_or(Ok(()), Err)
}

fn gave_up(stop: &Stop, failures: Vec<Error>) -> Error {
    let attempts = u32::try_from(failures.len()).unwrap_or(u32::MAX);
    let last = failures.last().map(|error| error.message().to_owned()).unwrap_or_default();
    let error = Error::new(ErrorKind::AllFailed, format!("{}: {last}", stop.explain(attempts)));
    let error = error.with_causes(failures).with_attempts(attempts);
    match stop {
        Stop::Runaway => error.with_hint(
            "wait longer between attempts, or declare the step `.idempotent()` if two of it at once do no harm",
        ),
        _ => error,
    }
}
