//! Conversion of the modifiers of a step to the core's [`Policy`].

use std::time::Duration;

use llmspell::control::Adaptive;
use llmspell::model::Request;
use llmspell::{Breaker, Error, ErrorKind, Hedge, Limit, Policy, Rate, Retry};

use crate::syntax::file::{
    AdaptiveBy, AdaptiveDef, After, BreakerDef, HedgeDef, Modifiers, RateDef, RetryDef, RetryOn,
};

/// The settings of a step or a model that can change while the flow runs.
#[derive(Clone, Debug, Default)]
pub struct Tunable {
    /// Its limit, if it has one.
    pub limit: Option<Limit>,
    /// Its rate, if it has one.
    pub rate: Option<Rate>,
}

/// Converts all modifiers except the fallback. The policy applies them in the canonical order, whatever their order in
/// the file.
pub(crate) fn policy(modifiers: &Modifiers) -> (Policy, Tunable) {
    let mut policy = Policy::new();
    if let Some(timeout) = modifiers.timeout.as_ref().filter(|timeout| !timeout.value.0.attempt.is_empty()) {
        let times: Vec<Duration> = timeout.value.0.attempt.iter().map(|time| time.0).collect();
        policy = policy.timeout(times);
    }
    if let Some(deadline) = &modifiers.deadline {
        policy = policy.deadline(deadline.value.0);
    }
    if let Some(retry) = &modifiers.retry {
        policy = policy.retry(self::retry(&retry.value.0));
    }
    if let Some(hedge) = &modifiers.hedge {
        policy = policy.hedge(self::hedge(&hedge.value.0));
    }
    if let Some(breaker) = modifiers.breaker.as_ref().filter(|breaker| !breaker.value.0.off) {
        policy = policy.breaker(self::breaker(&breaker.value.0));
    }
    let rate = modifiers.rate.as_ref().map(|rate| self::rate(&rate.value.0));
    if let Some(rate) = &rate {
        policy = policy.rate(rate.clone());
    }
    let adaptive = modifiers.adaptive.as_ref().filter(|adaptive| !adaptive.value.0.off);
    let limit = match (adaptive, &modifiers.limit) {
        (Some(adaptive), _) => Some(Limit::adaptive(self::adaptive(&adaptive.value.0))),
        (None, Some(limit)) => Some(Limit::new(limit.value as usize)),
        (None, None) => None,
    };
    if let Some(limit) = &limit {
        policy = policy.limit(limit.clone());
    }
    (policy, Tunable { limit, rate })
}

fn retry(def: &RetryDef) -> Retry {
    let mut retry = Retry::exponential().max_attempts(def.max);
    if let Some(base) = def.base {
        retry = retry.base(base.0);
    }
    if let Some(on) = def.on.clone() {
        retry = retry.when(move |error| on.iter().any(|class| class.holds(error)));
    }
    retry
}

fn hedge(def: &HedgeDef) -> Hedge {
    let hedge = match def.after {
        After::Delay(delay) => Hedge::after(delay),
        After::Percentile(percentile) => Hedge::at_percentile(percentile),
    };
    def.share.map_or(hedge.clone(), |share| hedge.max_share(share))
}

pub(crate) fn breaker(def: &BreakerDef) -> Breaker {
    let mut breaker = Breaker::builder();
    if let Some(share) = def.share {
        breaker = breaker.failure_rate(share);
    }
    if let Some(window) = def.window {
        breaker = breaker.window(window.0);
    }
    if let Some(calls) = def.calls {
        breaker = breaker.min_calls(u64::from(calls.max(1)));
    }
    if let Some(open) = def.open {
        breaker = breaker.open_for(open.0);
    }
    breaker.build()
}

pub(crate) fn rate(def: &RateDef) -> Rate {
    let mut rate = Rate::builder();
    if let Some(per) = def.requests {
        rate = rate.per(per.count, per.period);
    }
    if let Some(tokens) = def.tokens {
        rate = rate.tokens_per(tokens.count, tokens.period);
    }
    if let Some(burst) = def.burst {
        rate = rate.burst(burst.0);
    }
    let rate = rate.build();
    if def.tokens.is_none() {
        return rate;
    }
    rate.estimate_with(|request: &Request| {
        request.estimated_tokens() + u64::from(request.options.max_tokens.unwrap_or(0))
    })
}

pub(crate) fn adaptive(def: &AdaptiveDef) -> Adaptive {
    let mut adaptive = match def.by {
        AdaptiveBy::Refusals => Adaptive::aimd(),
        AdaptiveBy::Latency => Adaptive::gradient(),
    };
    if let Some(min) = def.min {
        adaptive = adaptive.min(min as usize);
    }
    if let Some(max) = def.max {
        adaptive = adaptive.max(max as usize);
    }
    if let Some(initial) = def.initial {
        adaptive = adaptive.initial(initial as usize);
    }
    adaptive
}

impl RetryOn {
    fn holds(self, error: &Error) -> bool {
        match self {
            RetryOn::Transient => error.is_transient(),
            RetryOn::Timeout => error.kind() == ErrorKind::Timeout,
            RetryOn::Failed => matches!(error.kind(), ErrorKind::Failed | ErrorKind::Overloaded | ErrorKind::Denied),
            RetryOn::Panicked => error.kind() == ErrorKind::Panicked,
        }
    }
}
