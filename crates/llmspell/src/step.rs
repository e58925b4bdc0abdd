//! The trait `Step`: an async function from an input to an output, run under a [`Context`].
//!
//! This module owns the trait and the plain adapters. Adapters of flow control and of patterns live with their
//! mechanism.

mod boxed;
mod catch_unwind;
mod constant;
mod function;
mod idempotent;
mod info;
mod map;
mod named;
mod shared;
mod spawned;
mod then;
mod with_outcome;

/// The adapters: steps that the methods of [`Step`] return.
pub mod adapters {
    pub use super::catch_unwind::CatchUnwind;
    pub use super::constant::Constant;
    pub use super::function::FnStep;
    pub use super::idempotent::Idempotent;
    pub use super::map::Map;
    pub use super::named::Named;
    pub use super::shared::Shared;
    pub use super::spawned::Spawned;
    pub use super::then::Then;
    pub use super::with_outcome::WithOutcome;
    pub use crate::control::breaker::WithBreaker;
    pub use crate::control::budget::WithBudget;
    pub use crate::control::limit::Limited;
    pub use crate::control::rate::RateLimited;
    pub use crate::policy::WithPolicy;
}

use std::sync::Arc;
use std::time::Duration;

pub use boxed::BoxStep;
pub use constant::value;
pub use function::step;
pub use info::StepInfo;
pub(crate) use named::call;

pub(crate) use adapters::{CatchUnwind, FnStep, Idempotent, Map, Named, Shared, Spawned, Then, WithOutcome};

use crate::context::Context;
use crate::control::breaker::{Breaker, WithBreaker};
use crate::control::budget::{Budget, WithBudget};
use crate::control::limit::{Limit, Limited};
use crate::control::rate::{Rate, RateLimited};
use crate::error::Result;
use crate::pattern::race::{Hedge, Hedged};
use crate::pattern::stream::{IntoSource, Streaming};
use crate::pattern::timeout::{Fallback, IdleTimeout, Retried, Retry, Timeout, Timeouts};
use crate::policy::{Policy, WithPolicy};

/// A unit of work: a closure, a tool, an agent, or a pattern made of steps.
///
/// Implement it with `async fn run`, or make one from a closure with [`step`]. The provided methods wrap a step
/// in another step, as the adapters of [`Iterator`] do. They nest as written: in `s.timeout(a).retry(r)` each
/// attempt has the time `a`; in `s.retry(r).timeout(a)` all attempts share it.
///
/// Very long chains (about twenty nested adapters) exceed the compiler's limits; call [`Step::boxed`] every
/// dozen or so. Boxing also helps where rustc cannot prove that the future of a step over `&'static str` is
/// `Send`. Owned inputs such as `String` do not have this problem.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Context, Retry, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let length = step(|text: String, _| async move { Ok(text.len()) })
///     .timeout(Duration::from_secs(1))
///     .retry(Retry::exponential().max_attempts(3))
///     .map(|n| n * 2)
///     .named("length");
/// assert_eq!(length.run("four".into(), &Context::new()).await?, 8);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
///
/// This trait is open: implement it for your own types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Step`",
    label = "expected a step here",
    note = "make a step from a closure: `step(|input, cx| async move {{ Ok(input) }})`",
    note = "call `.step()` on a model to make it a step",
    note = "in a chain, use `.then_fn(|input, cx| async move {{ … }})` or `.map(|output| …)`"
)]
pub trait Step: Send + Sync + 'static {
    /// The input of the step.
    type In: Send + 'static;
    /// The output of the step.
    type Out: Send + 'static;

    /// Runs the step once.
    ///
    /// Dropping the returned future cancels the work. A step must tolerate that at every `await`.
    fn run(&self, input: Self::In, cx: &Context) -> impl Future<Output = Result<Self::Out>> + Send;

    /// Returns the static properties of the step, which the combinators around it use before it runs.
    ///
    /// The default suits most steps. A step that wraps another one returns the properties of the inner step.
    fn info(&self) -> StepInfo<'_> {
        StepInfo::default()
    }

    /// Names the step: the name appears in the path of errors and events, and has a row in the report.
    fn named(self, name: impl Into<Arc<str>>) -> Named<Self>
    where
        Self: Sized,
    {
        Named::new(self, name.into())
    }

    /// Declares that running the step twice on one input does no harm beyond its cost.
    ///
    /// Only an idempotent step can be [hedged](Step::hedge) or have a second copy as a
    /// [straggler](crate::pattern::stream::Streaming::stragglers). Only an idempotent step is retried while an earlier attempt
    /// that could not be dropped is still running.
    fn idempotent(self) -> Idempotent<Self>
    where
        Self: Sized,
    {
        Idempotent::new(self)
    }

    /// Runs `next` on the output of this step.
    fn then<B>(self, next: B) -> Then<Self, B>
    where
        Self: Sized,
        B: Step<In = Self::Out>,
    {
        Then::new(self, next)
    }

    /// Runs an async closure on the output of this step.
    fn then_fn<F, Fut, T>(self, next: F) -> Then<Self, FnStep<F, Self::Out, Fut>>
    where
        Self: Sized,
        F: Fn(Self::Out, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        Then::new(self, step(next))
    }

    /// Transforms the output with a synchronous function.
    fn map<F, T>(self, change: F) -> Map<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Out) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        Map::new(self, change)
    }

    /// Cancels the step after a time limit: one [`Duration`], or one for each attempt of the retry around it,
    /// such as `[secs(1), secs(3)]`. See [the timeout pattern](crate::pattern::timeout).
    fn timeout(self, limits: impl Into<Timeouts>) -> Timeout<Self>
    where
        Self: Sized,
    {
        Timeout::new(self, limits.into())
    }

    /// Cancels the step, with all retries and waits inside it, `within` from its start.
    ///
    /// The same as [`Step::timeout`] with one duration; the name says that it stands outside a retry.
    fn deadline(self, within: Duration) -> Timeout<Self>
    where
        Self: Sized,
    {
        Timeout::new(self, within.into())
    }

    /// Cancels a step that emits no output within `first`, or later gives no sign of life for `idle`.
    ///
    /// See [`Context::emit`] and [`Context::heartbeat`].
    fn idle_timeout(self, first: Duration, idle: Duration) -> IdleTimeout<Self>
    where
        Self: Sized,
    {
        IdleTimeout::new(self, first, idle)
    }

    /// Retries the step when it fails with a transient error. See [`Retry`].
    fn retry(self, policy: Retry) -> Retried<Self>
    where
        Self: Sized,
        Self::In: Clone,
    {
        Retried::new(self, policy)
    }

    /// Runs `other` on the same input if this step fails, and marks the result as a fallback.
    fn fallback<F>(self, other: F) -> Fallback<Self, F>
    where
        Self: Sized,
        Self::In: Clone,
        F: Step<In = Self::In, Out = Self::Out>,
    {
        Fallback::new(self, other)
    }

    /// Starts a second copy of the step when the first is slow; the first to succeed wins. See [`Hedge`].
    ///
    /// # Panics
    /// If the step is not declared [idempotent](Step::idempotent), because a hedge runs it twice.
    fn hedge(self, policy: Hedge) -> Hedged<Self>
    where
        Self: Sized,
        Self::In: Clone,
    {
        Hedged::new(self, policy)
    }

    /// Rejects calls of the step while most of them fail. A [`Breaker`] can be shared between steps.
    fn breaker(self, breaker: Breaker) -> WithBreaker<Self>
    where
        Self: Sized,
    {
        WithBreaker::new(self, Some(breaker))
    }

    /// Caps concurrent calls of the step; further calls wait (FIFO).
    ///
    /// A [`Limit`] can be shared between steps, and can [adapt itself](Limit::adaptive).
    ///
    /// # Panics
    /// If the limit is 0.
    fn limit(self, limit: impl Into<Limit>) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::new(self, limit.into())
    }

    /// Limits the rate at which calls of the step start and use tokens; further calls wait.
    ///
    /// A [`Rate`] can be shared between steps.
    fn rate(self, rate: Rate) -> RateLimited<Self>
    where
        Self: Sized,
    {
        RateLimited::new(self, rate)
    }

    /// Runs calls of the step only while `budget` covers them.
    ///
    /// A [`Budget`] can be shared between steps. To cap all items of a stream together, see
    /// [`Streaming::budget`].
    fn budget(self, budget: Budget) -> WithBudget<Self>
    where
        Self: Sized,
    {
        WithBudget::new(self, budget)
    }

    /// Applies timeouts, retries, hedging, a breaker and a limit in the canonical order. See [`Policy`].
    ///
    /// # Panics
    /// If the policy hedges and the step is not declared [idempotent](Step::idempotent).
    fn policy(self, policy: Policy) -> WithPolicy<Self>
    where
        Self: Sized,
        Self::In: Clone,
    {
        policy.apply(self)
    }

    /// Runs the step on its own task, so that it can use another core. Dropping the call stops the task.
    fn spawned(self) -> Spawned<Self>
    where
        Self: Sized,
    {
        Spawned::new(self)
    }

    /// Turns a panic of this step into an error of [`ErrorKind::Panicked`](crate::ErrorKind::Panicked).
    ///
    /// Streams, groups, races and [spawned](Step::spawned) steps already catch the panics of the steps in them.
    /// Use this for a step that is run directly.
    ///
    /// ```
    /// use llmspell::{Context, Error, ErrorKind, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let divide = step(|by: i32, _| async move { Ok::<_, Error>(1 / by) }).catch_panic();
    /// assert_eq!(divide.run(0, &Context::new()).await.unwrap_err().kind(), ErrorKind::Panicked);
    /// # });
    /// ```
    fn catch_panic(self) -> CatchUnwind<Self>
    where
        Self: Sized,
    {
        CatchUnwind::new(self)
    }

    /// Returns an [`Outcome`](crate::Outcome) instead of failing: the result with its quality and provenance.
    fn with_outcome(self) -> WithOutcome<Self>
    where
        Self: Sized,
    {
        WithOutcome::new(self)
    }

    /// Turns a step over `Arc<T>` into one over `T`, for patterns that clone their input when `T` is not
    /// `Clone`.
    fn shared<T>(self) -> Shared<Self, T>
    where
        Self: Sized + Step<In = Arc<T>>,
        T: Send + Sync + 'static,
    {
        Shared::new(self)
    }

    /// Erases the type of the step. Costs one allocation per call.
    fn boxed(self) -> BoxStep<Self::In, Self::Out>
    where
        Self: Sized,
    {
        BoxStep::new(self)
    }

    /// Runs the step on every input of `source`, an iterator or a `Stream`, several at a time. See
    /// [`Streaming`].
    ///
    /// To use the step again, clone it or put it into an [`Arc`], which is a step as well.
    fn stream<M, S>(self, source: S, cx: &Context) -> Streaming<Self>
    where
        Self: Sized,
        S: IntoSource<Self::In, M>,
    {
        Streaming::new(Arc::new(self), source.into_source(), cx.clone())
    }
}

/// A step behind an [`Arc`], so that one step can be used in several places.
impl<S: Step> Step for Arc<S> {
    type In = S::In;
    type Out = S::Out;

    fn run(&self, input: S::In, cx: &Context) -> impl Future<Output = Result<S::Out>> + Send {
        (**self).run(input, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        (**self).info()
    }
}
