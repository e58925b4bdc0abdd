//! Everything about one call in one place.

use std::time::Duration;

use crate::context::Context;
use crate::control::breaker::{Breaker, BreakerRecheck, WithBreaker};
use crate::control::budget::{Budget, WithBudget};
use crate::control::limit::{Limit, Limited};
use crate::control::rate::{Rate, RateLimited};
use crate::control::retry_budget::RetryBudget;
use crate::error::Result;
use crate::pattern::race::{Hedge, Hedged};
use crate::pattern::timeout::{Retried, Retry, Timeout, Timeouts};
use crate::step::{Step, StepInfo};

/// Modifiers of a step as one value, without its types; what flow files compile to.
///
/// They apply in the canonical order, however they are set. From the outside in:
///
/// deadline → retry → hedge → breaker → budget → rate → limit → timeout of an attempt → the step
///
/// So the deadline covers all attempts and all waiting; each attempt is paid for and takes its turn; a permit is
/// given back while a retry waits; time in line does not count against the timeout of an attempt; a breaker that
/// opens while calls wait in line calls them off. A [`fallback`](Step::fallback) has a type and stays a combinator:
/// around the policy it serves when everything else has failed, the deadline included.
///
/// A chain of combinators nests as it is written instead, so another order means something else:
///
/// | written | means |
/// |---|---|
/// | `s.limit(n).retry(r)` | a permit for each attempt, as in a policy |
/// | `s.retry(r).limit(n)` | one permit for all attempts, held through every wait between them |
/// | `s.timeout(t).retry(r)` | `t` for each attempt |
/// | `s.retry(r).timeout(t)` | `t` for all attempts and the waits between them: a deadline |
/// | `s.timeout(t).limit(n)` | time in line for a permit does not count |
/// | `s.limit(n).timeout(t)` | time in line counts; under load calls time out before they begin |
/// | `s.retry(r).breaker(b)` | the breaker sees calls, not attempts, and opens that much later |
/// | `s.rate(a).limit(n)` | a call that waits for its turn holds a permit, and fewer than `n` are at work |
/// | `s.deadline(t).fallback(f)` | the fallback serves when time is up |
/// | `s.fallback(f).deadline(t)` | nothing serves when time is up: the fallback is within the deadline |
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Adaptive, Breaker, Budget, Limit, Policy, Rate, Retry, RetryBudget, Step, step};
///
/// let policy = Policy::new()
///     .deadline(Duration::from_secs(20))
///     .retry(Retry::exponential())
///     .retry_budget(RetryBudget::share(0.2).reserve(1.0))
///     .breaker(Breaker::new())
///     .budget(Budget::tokens(5_000_000))
///     .rate(Rate::per_minute(500).tokens_per_minute(200_000))
///     .limit(Limit::adaptive(Adaptive::aimd().max(64)))
///     .timeout(Duration::from_secs(5));
/// let fetch = step(|url: String, _| async move { Ok(url) }).policy(policy);
/// # let _ = fetch;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a policy does nothing until it is applied with `Step::policy`"]
pub struct Policy {
    deadline: Timeouts,
    retry: Retry,
    hedge: Hedge,
    retry_budget: Option<RetryBudget>,
    breaker: Option<Breaker>,
    budget: Budget,
    rate: Rate,
    limit: Limit,
    timeout: Timeouts,
}

impl Default for Policy {
    fn default() -> Self {
        Policy::new()
    }
}

impl Policy {
    /// No modifiers.
    pub fn new() -> Self {
        Policy {
            deadline: Timeouts::never(),
            retry: Retry::never(),
            hedge: Hedge::never(),
            retry_budget: None,
            breaker: None,
            budget: Budget::unlimited(),
            rate: Rate::unlimited(),
            limit: Limit::unlimited(),
            timeout: Timeouts::never(),
        }
    }

    /// The time for everything, from the start of the call.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = within.into();
        self
    }

    /// How to retry.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// When to start a second copy.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = hedge;
        self
    }

    /// What the retries and the second copies draw on together, instead of whatever budgets they have been
    /// given themselves.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = Some(budget);
        self
    }

    /// When to stop calling.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// How much all calls may use.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// How many calls may start in a time, and how many tokens they may use.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// How many calls may run at once: a number, or a [`Limit`], which can be shared and can
    /// [find itself](Limit::adaptive).
    ///
    /// # Panics
    /// If the limit is 0.
    pub fn limit(mut self, limit: impl Into<Limit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// The time of an attempt, or of each attempt.
    pub fn timeout(mut self, limits: impl Into<Timeouts>) -> Self {
        self.timeout = limits.into();
        self
    }

    pub(crate) fn apply<S: Step<In: Clone>>(mut self, step: S) -> WithPolicy<S> {
        if let Some(budget) = &self.retry_budget {
            self.retry = self.retry.retry_budget(budget.clone());
            self.hedge = self.hedge.retry_budget(budget.clone());
        }
        let attempt = BreakerRecheck::new(Timeout::new(step, self.timeout), self.breaker.clone());
        let attempt = RateLimited::new(Limited::new(attempt, self.limit), self.rate);
        let attempt = WithBreaker::new(WithBudget::new(attempt, self.budget), self.breaker);
        let attempts = Retried::new(Hedged::new(attempt, self.hedge), self.retry);
        WithPolicy { step: Timeout::new(attempts, self.deadline) }
    }
}

/// One attempt of a step under a policy.
type Attempt<S> = WithBreaker<WithBudget<RateLimited<Limited<BreakerRecheck<Timeout<S>>>>>>;

/// A step under a [`Policy`]; made by [`Step::policy`].
#[must_use = "a step does nothing until it runs"]
pub struct WithPolicy<S: Step> {
    step: Timeout<Retried<Hedged<Attempt<S>>>>,
}

impl<S: Step<In: Clone>> Step for WithPolicy<S> {
    type In = S::In;
    type Out = S::Out;

    fn run(&self, input: S::In, cx: &Context) -> impl Future<Output = Result<S::Out>> + Send {
        self.step.run(input, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
