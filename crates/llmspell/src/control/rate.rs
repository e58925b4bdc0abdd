//! A limit on how many calls and tokens go in a time: what a provider calls RPM and TPM.
//!
//! *Waits for* its turn: first come, first served, and each call as soon as the rate allows, to the
//! millisecond. A call whose turn cannot come before its deadline fails at once.
//! *Charges* each call one request, and what it is expected to use in tokens. What it says to have used
//! ([`Context::record_usage`]) is charged at once where it is more, and what it did not use goes back when it ends.
//! *Listens* to the server: what it has left ([`Context::rate_limits`]) tightens the rate, if the step says so (the
//! models of `llmspell-models` can only when a call fails: their transport hides the headers of answers), and an error with a
//! `Retry-After` pauses everything that shares it, so that no herd comes back. What has had its turn and waits for a
//! permit is called back.
//!
//! ```
//! use llmspell::{Context, Rate, Step, Usage, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // One for each key at a provider; clones share it.
//! let provider = Rate::per_minute(500).tokens_per_minute(200_000);
//! let ask = step(|question: String, cx: Context| async move {
//!     cx.record_usage(Usage::new(question.len() as u64, 50)); // as the answer says
//!     Ok("because")
//! });
//! let ask = ask.rate(provider.clone()).estimate(|question| question.len() as u64 + 100);
//! assert_eq!(ask.run("why?".to_owned(), &Context::new()).await?, "because");
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod bucket;
mod config;
mod limiter;
mod reservation;
mod window;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use reservation::RateReservation;
pub use window::{RateLimits, RateWindow};

use crate::context::{Context, MeterId};
use crate::control::ewma::Average;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::sync::{Mutex, lock};
use crate::step::{Step, StepInfo};
use config::{Config, Quota};
use limiter::{Admission, RateLimiter};
use reservation::RateGuard;

/// See [`Rate::max_pause`].
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How many calls may start in a time, and how many tokens they may use.
///
/// Clones share what there is, so one rate can stand for one key at a provider, for all the steps that use it.
/// Configure it before cloning: a clone that is changed would no longer be one.
///
/// Requests and tokens have a bucket each, which fills steadily up to the [burst](Rate::burst) and from which
/// calls are served in order. In any stretch of time there start at most as many calls as the burst and the rate
/// give for it. This also holds for tokens, as far as the calls are [estimated](Rate::estimate) well.
///
/// A call may have to wait again after its turn, for a permit of a [limit](crate::Limit) further in. If a pause
/// begins meanwhile, it gives its turn back and goes to the end of the line; if it is dropped or refused there, it
/// never was a call, and what it has taken goes back. For this the innermost modifier that can hold a call up or
/// refuse it (limit, rate, budget, breaker) says when the call goes out, in a [policy](crate::Policy) as in a chain.
/// It is not asked of what cannot be seen through, such as a closure or a [`Step::then`] with a step that has no such
/// modifier: there a call has begun when that begins.
///
/// A call inside of a call under the same rate goes with the turn of that one, if it is the first; every further one,
/// such as another attempt, takes a turn of its own.
///
/// Not covered by it are calls of other processes with the same key. A server that says what it has left
/// ([`Context::rate_limits`]) or asks to be left alone (an error with [`Error::retry_after`]) is listened to
/// for their sake. Whose error it is that comes out of a call is not looked into: if the call asks another provider
/// inside, and hands on its error, the wait that this one asks for pauses the rate as well.
///
/// ```
/// use std::time::Duration;
/// use llmspell::Rate;
///
/// let provider = Rate::per_minute(500).tokens_per_minute(200_000).burst(Duration::from_secs(1));
/// let crawler = Rate::per_second(2);
/// # let _ = (provider, crawler);
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Rate {
    config: Config,
    /// `None` if nothing is limited.
    door: Option<Arc<RateLimiter>>,
    estimate: Option<u64>,
    estimate_with: Option<Arc<EstimateAny>>,
}

/// What a call with this input is expected to use; `None` if it takes another type.
type EstimateAny = dyn Fn(&dyn Any) -> Option<u64> + Send + Sync;

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate")
            .field("calls", &self.calls())
            .field("tokens", &self.config.tokens)
            .field("estimate", &self.estimate)
            .finish_non_exhaustive()
    }
}

impl Rate {
    /// At most `calls` in a second.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn per_second(calls: u64) -> Self {
        Rate::per(calls, Duration::from_secs(1))
    }

    /// At most `calls` in a minute.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn per_minute(calls: u64) -> Self {
        Rate::per(calls, Duration::from_secs(60))
    }

    /// At most `calls` in each `period`.
    ///
    /// # Panics
    /// If `calls` or `period` is 0, for nothing would ever run.
    pub fn per(calls: u64, period: Duration) -> Self {
        let flow = Quota::new(calls, period);
        Rate::unlimited().with(|config| config.requests = Some(flow))
    }

    /// No limit on calls; on tokens, if [`Rate::tokens_per_minute`] sets one.
    pub fn unlimited() -> Self {
        let config = Config { requests: None, tokens: None, burst: None, longest_pause: LONGEST_PAUSE };
        Rate { config, door: None, estimate: None, estimate_with: None }
    }

    /// At most so many tokens in a minute, as well. What a call has used is for the step to
    /// [say](Context::record_usage).
    ///
    /// # Panics
    /// If `tokens` is 0, for nothing would ever run, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.tokens_per(tokens, Duration::from_secs(60))
    }

    /// At most so many tokens in each `period`, as well.
    ///
    /// # Panics
    /// If `tokens` or `period` is 0, for nothing would ever run, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn tokens_per(self, tokens: u64, period: Duration) -> Self {
        let flow = Quota::new(tokens, period);
        self.with(|config| config.tokens = Some(flow))
    }

    /// Lets as much go at once, after a quiet time, as comes in `time`, but at least one call. The default is a
    /// tenth of the period, so that in no minute there is more than a tenth above the rate. A call of more
    /// tokens goes when the bucket is full.
    ///
    /// A full period suits servers that count with token buckets themselves. With zero, calls keep their
    /// distance from one another; but then the millisecond that a timer may be late is lost each time.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn burst(self, time: Duration) -> Self {
        self.with(|config| config.burst = Some(time))
    }

    /// The longest pause that calls sit out when the server asks for one; 10 minutes unless told otherwise, which
    /// is more than limits by the minute ask for, and less than those by the day. While there is more left of it,
    /// they fail at once with [`ErrorKind::Rejected`], so that a fallback can serve. A call with a deadline before the
    /// end of the pause fails at once in any case. A pause is also what a server takes that has
    /// [nothing left](Context::rate_limits), until it has.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn max_pause(self, pause: Duration) -> Self {
        self.with(|config| config.longest_pause = pause)
    }

    /// Expects a call to use `tokens`, in and out. For this clone alone; what limits them is still shared.
    ///
    /// Without an estimate each step learns from its own calls, as a moving average; the first ones wait for
    /// no tokens, and are charged when they say what they have used. To tell from the input, see
    /// [`RateLimited::estimate`].
    pub fn estimate(mut self, tokens: u64) -> Self {
        self.estimate = Some(tokens);
        self
    }

    /// Expects of a call what `tokens` tells of its input, in and out, where the step takes an `In`. For this clone alone,
    /// as [`Rate::estimate`], and before that; to be said of a rate that stands in a [`Policy`](crate::Policy), which knows
    /// of no inputs.
    ///
    /// ```
    /// use llmspell::Rate;
    /// use llmspell::model::Request;
    ///
    /// let provider = Rate::unlimited().tokens_per_minute(90_000);
    /// let provider = provider.estimate_with(|request: &Request| request.estimated_tokens() + 400);
    /// # let _ = provider;
    /// ```
    pub fn estimate_with<In: 'static>(mut self, tokens: impl Fn(&In) -> u64 + Send + Sync + 'static) -> Self {
        self.estimate_with = Some(Arc::new(move |input| input.downcast_ref().map(&tokens)));
        self
    }

    #[track_caller]
    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let is_shared = self.door.as_ref().is_some_and(|door| Arc::strong_count(door) > 1);
        assert!(!is_shared, "configure a `Rate` before it is cloned: clones share its state");
        change(&mut self.config);
        let limited = self.config.requests.is_some() || self.config.tokens.is_some();
        self.door = limited.then(|| Arc::new(RateLimiter::new(&self.config)));
        self
    }

    /// Lets at most `calls` go in each `period` from now on, for all clones of this rate and at any time. Says whether
    /// there is a rate of calls to change; tokens go as before.
    ///
    /// Calls that wait go earlier or later accordingly; one whose turn then cannot come before its deadline fails.
    /// Whatever time was set for the [burst](Rate::burst) stays, or a tenth of the period. A pause goes on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use llmspell::Rate;
    ///
    /// let provider = Rate::per_minute(60);
    /// assert!(provider.clone().set_rate(600, Duration::from_secs(60)));
    /// assert_eq!(provider.calls(), Some((600, Duration::from_secs(60))));
    /// assert!(!Rate::unlimited().set_rate(600, Duration::from_secs(60)));
    /// ```
    ///
    /// # Panics
    /// If `calls` or `period` is 0, for nothing would ever run.
    pub fn set_rate(&self, calls: u64, period: Duration) -> bool {
        let flow = Quota::new(calls, period);
        self.door.as_ref().is_some_and(|door| door.set_rate(self.config.bucket(flow)))
    }

    /// How many calls may go in what time, leaving aside what the server says; `None` if any number.
    pub fn calls(&self) -> Option<(u64, Duration)> {
        self.door.as_ref().and_then(|door| door.calls())
    }

    /// How many calls wait for their turn.
    pub fn waiting(&self) -> usize {
        self.door.as_ref().map_or(0, |door| door.waiting())
    }

    /// How much is left of a pause that the server has asked for, or that it takes until it has anything left;
    /// `None` if there is none.
    pub fn paused(&self) -> Option<Duration> {
        self.door.as_ref().and_then(|door| door.pause_left())
    }
}

/// A step at a rate; made by [`Step::rate`].
#[must_use = "a step does nothing until it runs"]
pub struct RateLimited<S: Step> {
    step: S,
    rate: Rate,
    estimate: Option<Arc<Estimate<S::In>>>,
    average: Arc<Mutex<Average>>,
    /// Whether it is for this one to say that a call has begun.
    reports_start: bool,
}

type Estimate<In> = dyn Fn(&In) -> u64 + Send + Sync;

impl<S: Step + Clone> Clone for RateLimited<S> {
    fn clone(&self) -> Self {
        RateLimited {
            step: self.step.clone(),
            rate: self.rate.clone(),
            estimate: self.estimate.clone(),
            average: self.average.clone(),
            reports_start: self.reports_start,
        }
    }
}

impl<S: Step> RateLimited<S> {
    pub(crate) fn new(step: S, rate: Rate) -> Self {
        let reports_start = rate.door.is_some() && !step.info().reports_start;
        RateLimited { step, rate, estimate: None, average: Arc::default(), reports_start }
    }

    /// Tells from the input how many tokens a call will use, in and out.
    pub fn estimate(mut self, tokens: impl Fn(&S::In) -> u64 + Send + Sync + 'static) -> Self {
        self.estimate = Some(Arc::new(tokens));
        self
    }

    /// What a call will use, as far as anybody can tell.
    fn expected(&self, input: &S::In) -> u64 {
        if self.rate.config.tokens.is_none() {
            return 0;
        }
        if let Some(estimate) = &self.estimate {
            return estimate(input);
        }
        let of_input = self.rate.estimate_with.as_ref().and_then(|estimate| estimate(input));
        of_input.or(self.rate.estimate).unwrap_or_else(|| lock(&self.average).whole().unwrap_or_default())
    }
}

impl<S: Step> Step for RateLimited<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(door) = &self.rate.door else { return self.step.run(input, cx).await };
        let tokens = self.expected(&input);
        if cx.take_over_reservation(MeterId::of(door)) {
            if self.reports_start {
                cx.report_start();
            }
            let result = self.step.run(input, cx).await;
            self.listen(door, &result, tokens, cx);
            return result;
        }
        let mut admission = door.enter(tokens, cx, self.step.info().name).await?;
        if admission.waited && cx.is_revoked() {
            admission = Box::pin(self.enter_again(door, tokens, admission, cx)).await?;
        }
        if self.reports_start {
            cx.report_start();
        }
        let call = RateGuard::new(RateReservation::new(door, &self.average, admission, tokens, self.reports_start));
        let result = self.step.run(input, &cx.with_meter(call.meter())).await;
        self.listen(door, &result, tokens, cx);
        call.end(&result);
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let about = self.step.info();
        if self.rate.door.is_some() { about.reporting_start() } else { about }
    }
}

impl<S: Step> RateLimited<S> {
    /// Gives up a turn, because a rate further out has called the call back meanwhile, and waits for both.
    async fn enter_again(
        &self,
        door: &RateLimiter,
        tokens: u64,
        mut lost: Admission,
        cx: &Context,
    ) -> Result<Admission> {
        let name = self.step.info().name;
        loop {
            door.give_turn(tokens, lost.pauses);
            cx.renew_reservations(name).await?;
            lost = door.enter(tokens, cx, name).await?;
            if !cx.is_revoked() {
                return Ok(lost);
            }
        }
    }

    /// Pauses the rate if that is what the server asks for.
    fn listen(&self, door: &RateLimiter, result: &Result<S::Out>, tokens: u64, cx: &Context) {
        if let Err(error) = result
            && let Some(pause) = asked_pause(error)
            && door.pause(pause, tokens)
        {
            cx.record_event(|| EventKind::RatePaused { pause });
        }
    }
}

/// How long the server asked to be left alone. A refusal of our own is no word of a server.
fn asked_pause(error: &Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::Rejected => None,
        ErrorKind::AllFailed => error.causes().iter().filter_map(asked_pause).max(),
        _ => error.retry_after(),
    }
}
