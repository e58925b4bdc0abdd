//! A policy: all modifiers of a step as one value, applied in the canonical order.

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

/// The modifiers of a step as one value, independent of its types. Flow files compile to policies.
///
/// The modifiers apply in the canonical order, whatever the order of the setters. From the outside in:
///
/// deadline → retry → hedge → breaker → budget → rate → limit → timeout of an attempt → the step
///
/// So the deadline covers all attempts and all waiting. Each attempt counts for the budget and the rate. A permit is
/// released while a retry waits. Waiting in a queue does not count against the timeout of an attempt. A breaker that
/// opens while calls wait rejects them. A [`fallback`](Step::fallback) has a type, so it stays a combinator: around the
/// policy, it serves when everything else has failed, the deadline included.
///
/// A chain of combinators nests in the order in which it is written, so another order means something else:
///
/// | written | means |
/// |---|---|
/// | `s.limit(n).retry(r)` | a permit for each attempt, as in a policy |
/// | `s.retry(r).limit(n)` | one permit for all attempts, held through every wait between them |
/// | `s.timeout(t).retry(r)` | `t` for each attempt |
/// | `s.retry(r).timeout(t)` | `t` for all attempts and the waits between them: a deadline |
/// | `s.timeout(t).limit(n)` | waiting for a permit does not count against the timeout |
/// | `s.limit(n).timeout(t)` | waiting counts; under load calls time out before they start |
/// | `s.retry(r).breaker(b)` | the breaker counts calls, not attempts, and opens later |
/// | `s.rate(a).limit(n)` | a call that waits for the rate holds a permit, so fewer than `n` calls run |
/// | `s.deadline(t).fallback(f)` | the fallback serves when the deadline passes |
/// | `s.fallback(f).deadline(t)` | nothing serves when the deadline passes: it covers the fallback |
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Breaker, Budget, Limit, Policy, Rate, Retry, Step, step};
/// use llmspell::control::{Adaptive, RetryBudget};
///
/// let policy = Policy::new()
///     .deadline(Duration::from_secs(20))
///     .retry(Retry::exponential())
///     .retry_budget(RetryBudget::builder(0.2).reserve(1.0).build())
///     .breaker(Breaker::new())
///     .budget(Budget::tokens(5_000_000))
///     .rate(Rate::builder().per_minute(500).tokens_per_minute(200_000).build())
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
    /// Creates a policy without modifiers.
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

    /// Sets the time limit of the whole call, with all attempts and all waiting.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = within.into();
        self
    }

    /// Sets how failed attempts are retried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets when a second copy of an attempt starts.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = hedge;
        self
    }

    /// Sets the budget that retries and second copies share, instead of budgets of their own.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = Some(budget);
        self
    }

    /// Sets the breaker, which rejects calls while the other side fails.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Sets the cap on the usage of all calls.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets how many calls can start per period, and how many tokens they can use.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// Sets how many calls can run at once: a number, or a [`Limit`], which can be shared and can
    /// [adapt](Limit::adaptive).
    ///
    /// # Panics
    /// If the limit is 0.
    pub fn limit(mut self, limit: impl Into<Limit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Sets the time limit of an attempt: one for all attempts, or one for each.
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

/// A step under a [`Policy`]; created by [`Step::policy`].
#[derive(Clone, Debug)]
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
