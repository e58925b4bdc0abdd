//! A rate limit on calls and tokens per period: what a provider calls RPM and TPM.
//!
//! - *Wait*: calls are admitted first come, first served, each as soon as the rate allows, to the millisecond. A call
//!   that cannot be admitted before its deadline fails at once.
//! - *Charge*: each call takes one request and the tokens that it is expected to use. Usage beyond that, reported with
//!   [`Context::record_usage`], is charged at once. Tokens that were not used are refunded when the call ends.
//! - *Server feedback*: the remaining quota of the server ([`Context::rate_limits`](crate::Context::rate_limits)) tightens the rate, if the step
//!   reports it. The models of `llmspell-models` can report it only when a call fails, because their transport hides
//!   the headers of successful replies. An error with a `Retry-After` pauses every step that shares the rate, so that
//!   no herd comes back. A call that was admitted and still waits for a permit is revoked.
//!
//! ```
//! use llmspell::{Context, Rate, Step, step};
//! use llmspell::observe::Usage;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // One for each key at a provider; clones share it.
//! let provider = Rate::builder().per_minute(500).tokens_per_minute(200_000).build();
//! let ask = step(|question: String, cx: Context| async move {
//!     cx.record_usage(Usage::new(question.len() as u64, 50)); // as the reply says
//!     Ok("because")
//! });
//! let ask = ask.rate(provider.clone()).estimate(|question| question.len() as u64 + 100);
//! assert_eq!(ask.run("why?".to_owned(), &Context::new()).await?, "because");
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod bucket;
mod builder;
mod limiter;
mod rate_limited;
mod reservation;
mod settings;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::RateBuilder;
pub use rate_limited::RateLimited;

use limiter::RateLimiter;
use settings::{Quota, RateSettings};

/// A rate limit: how many calls can start per period, and how many tokens they can use.
///
/// Clones share their quota, so one rate can stand for one key at a provider, for all steps that use it.
///
/// Requests and tokens have a token bucket each. A bucket fills steadily up to the [burst](RateBuilder::burst), and
/// calls are served from it in order. In any interval, at most as many calls start as the burst and the rate allow.
/// This also holds for tokens, as far as the [estimates](Rate::estimate) are right.
///
/// An admitted call may have to wait again, for a permit of a [limit](crate::Limit) further in. If a pause begins
/// meanwhile, the call returns its admission and joins the end of the queue. If it is dropped or rejected there, it
/// does not count as a call, and what it has taken is refunded. To make that possible, the innermost modifier that can
/// delay or reject the call (limit, rate, budget, breaker) reports when the call starts, in a
/// [policy](crate::Policy) as in a chain. A step that hides its inner steps, such as a closure or a [`Step::then`] with
/// a step without such a modifier, cannot report it: there a call has started when that step starts.
///
/// A call inside a call under the same rate shares the admission of the outer call, if it is the first inner call.
/// Every further inner call, such as another attempt, needs its own admission.
///
/// A rate does not see calls of other processes with the same key. That is why it follows a server that reports its
/// remaining quota ([`Context::rate_limits`](crate::Context::rate_limits)) or asks callers to wait (an error with
/// [`Error::retry_after`](crate::Error::retry_after)). The rate does not check which server an error comes from: if the
/// call asks another provider inside and returns its error, the wait of that error pauses this rate as well.
///
/// ```
/// use std::time::Duration;
/// use llmspell::Rate;
///
/// let crawler = Rate::per_second(2);
/// let provider = Rate::builder()
///     .per_minute(500)
///     .tokens_per_minute(200_000)
///     .burst(Duration::from_secs(1))
///     .build();
/// # let _ = (provider, crawler);
/// ```
///
/// [`Step::then`]: crate::Step::then
#[derive(Clone)]
#[must_use = "a rate does nothing until a step, a stream or a policy has it"]
pub struct Rate {
    settings: RateSettings,
    /// `None` if nothing is limited.
    limiter: Option<Arc<RateLimiter>>,
    estimate: Option<u64>,
    estimate_with: Option<Arc<EstimateAny>>,
}

/// Estimates the tokens of a call from its input; `None` if it takes another type.
type EstimateAny = dyn Fn(&dyn Any) -> Option<u64> + Send + Sync;

impl Rate {
    /// Creates a rate of at most `calls` per second.
    ///
    /// # Panics
    /// If `calls` is 0, because nothing would ever run.
    pub fn per_second(calls: u64) -> Self {
        Rate::builder().per_second(calls).build()
    }

    /// Creates a rate of at most `calls` per minute.
    ///
    /// # Panics
    /// If `calls` is 0, because nothing would ever run.
    pub fn per_minute(calls: u64) -> Self {
        Rate::builder().per_minute(calls).build()
    }

    /// Creates a rate of at most `calls` per `period`.
    ///
    /// # Panics
    /// If `calls` or `period` is 0, because nothing would ever run.
    pub fn per(calls: u64, period: Duration) -> Self {
        Rate::builder().per(calls, period).build()
    }

    /// Creates a rate that limits nothing.
    pub fn unlimited() -> Self {
        Rate::builder().build()
    }

    /// Returns a builder for a rate that limits tokens, or has a burst or a longest pause of its own.
    pub fn builder() -> RateBuilder {
        RateBuilder::new()
    }

    fn new(settings: RateSettings) -> Self {
        let is_limited = settings.requests.is_some() || settings.tokens.is_some();
        let limiter = is_limited.then(|| Arc::new(RateLimiter::new(&settings)));
        Rate { settings, limiter, estimate: None, estimate_with: None }
    }

    /// Estimates that a call uses `tokens`, input and output. The estimate belongs to this clone; the quota is shared.
    ///
    /// Without an estimate, each step learns a moving average from its own calls. Its first calls wait for no tokens,
    /// and are charged when they report their usage. To estimate from the input, see [`RateLimited::estimate`].
    pub fn estimate(mut self, tokens: u64) -> Self {
        self.estimate = Some(tokens);
        self
    }

    /// Estimates the tokens of a call from its input, where the step takes an `In`.
    ///
    /// Like [`Rate::estimate`], the estimate belongs to this clone; it takes precedence over a fixed one. It is meant for
    /// a rate in a [`Policy`](crate::Policy), which does not know the input type.
    ///
    /// ```
    /// use llmspell::Rate;
    /// use llmspell::model::Request;
    ///
    /// let provider = Rate::builder().tokens_per_minute(90_000).build();
    /// let provider = provider.estimate_with(|request: &Request| request.estimated_tokens() + 400);
    /// # let _ = provider;
    /// ```
    pub fn estimate_with<In: 'static>(mut self, tokens: impl Fn(&In) -> u64 + Send + Sync + 'static) -> Self {
        self.estimate_with = Some(Arc::new(move |input| input.downcast_ref().map(&tokens)));
        self
    }

    /// Changes the rate to at most `calls` per `period`, for all clones and at any time. Returns whether there is a
    /// rate of calls to change; that of tokens stays.
    ///
    /// Waiting calls start earlier or later accordingly. A call that then cannot be admitted before its deadline fails.
    /// The [burst](RateBuilder::burst) stays the configured time, or becomes a tenth of the new period. A pause
    /// continues.
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
    /// If `calls` or `period` is 0, because nothing would ever run.
    pub fn set_rate(&self, calls: u64, period: Duration) -> bool {
        let quota = Quota::new(calls, period);
        self.limiter.as_ref().is_some_and(|limiter| limiter.set_rate(self.settings.bucket(quota)))
    }

    /// Returns how many calls can start in which period, apart from what the server reports; `None` if there is no
    /// rate of calls.
    pub fn calls(&self) -> Option<(u64, Duration)> {
        self.limiter.as_ref().and_then(|limiter| limiter.quota())
    }

    /// Returns how many calls wait to be admitted.
    pub fn waiting(&self) -> usize {
        self.limiter.as_ref().map_or(0, |limiter| limiter.waiting())
    }

    /// Returns the rest of the current pause, if there is one: the server has asked for it, or has no quota left.
    pub fn paused(&self) -> Option<Duration> {
        self.limiter.as_ref().and_then(|limiter| limiter.pause_left())
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate")
            .field("calls", &self.calls())
            .field("tokens", &self.settings.tokens)
            .field("estimate", &self.estimate)
            .finish_non_exhaustive()
    }
}
