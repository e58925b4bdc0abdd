//! The modifiers of a step, as the library's [`Policy`].

use std::ops::Range;
use std::time::Duration;

use llmspell::model::Request;
use llmspell::{Adaptive, Breaker, Error, ErrorKind, Hedge, Limit, Policy, Rate, Retry};

use crate::check::unrepeatable;
use crate::diagnostic::Diagnostic;
use crate::duration::Span;
use crate::file::{
    AdaptiveBy, AdaptiveDef, After, BreakerDef, DefaultsDef, HedgeDef, ModelDef, Modifiers, RateDef, RetryDef, RetryOn,
    Short, StepDef,
};
use crate::located::Located;
use crate::plan::StepKind;
use crate::source::Source;

/// More attempts than this are a mistake.
const MOST_ATTEMPTS: u32 = 100;

impl Modifiers {
    /// Takes over what the step itself does not say.
    pub(crate) fn fill(&mut self, defaults: &DefaultsDef) {
        self.timeout = self.timeout.take().or_else(|| defaults.timeout.clone());
        self.deadline = self.deadline.take().or_else(|| defaults.deadline.clone());
        self.retry = self.retry.take().or_else(|| defaults.retry.clone());
        if self.adaptive.is_none() {
            self.limit = self.limit.take().or_else(|| defaults.limit.clone());
        }
    }

    /// How many attempts there are at most.
    pub(crate) fn attempts(&self) -> u32 {
        self.retry.as_ref().map_or(1, |retry| retry.value.0.max)
    }
}

/// Notes what cannot work.
pub(crate) fn check(
    def: &StepDef,
    modifiers: &Modifiers,
    kind: &StepKind,
    step: &Range<usize>,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let mut problem = |at: &Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    let attempts = modifiers.attempts();
    if let Some(retry) = &modifiers.retry {
        if attempts == 0 {
            let hint = "count the first attempt too, or leave `retry` out";
            problem(&retry.at, "0 attempts: the step would never run".to_owned(), hint);
        } else if attempts > MOST_ATTEMPTS {
            problem(&retry.at, format!("{attempts} attempts are too many"), "give at most 100");
        }
    }
    if def.limit_of_parts() == Some(0) {
        problem(step, "a limit of 0: nothing would ever run".to_owned(), "give at least 1, or leave `limit` out");
    }
    check_shared(modifiers, &mut problem);
    hedging(modifiers, kind, &mut problem);
    let own = def.modifiers();
    if own.timeout.is_some() {
        within_attempt(modifiers, &mut problem);
        times(modifiers, attempts, &mut problem);
    } else {
        // What stands under `defaults` is meant for most steps, not for each: what a step says otherwise is no
        // contradiction.
        let retry = modifiers.retry.clone().filter(|_| own.retry.is_none());
        let attempts = retry.as_ref().map_or(MOST_ATTEMPTS, |retry| retry.value.0.max);
        let deadline = modifiers.deadline.clone().filter(|_| own.deadline.is_none());
        let shared = Modifiers { timeout: modifiers.timeout.clone(), retry, deadline, ..Modifiers::default() };
        times(&shared, attempts, &mut problem);
    }
}

/// Notes what cannot work of `defaults`, whatever a step says besides.
pub(crate) fn check_defaults(defaults: &DefaultsDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut modifiers = Modifiers::default();
    modifiers.fill(defaults);
    within_attempt(&modifiers, &mut |at, message, hint| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    });
}

/// What an agent's model is limited by.
pub(crate) fn of_model(def: &ModelDef) -> Modifiers {
    Modifiers {
        limit: def.limit.clone(),
        adaptive: def.adaptive.clone(),
        rate: def.rate.clone(),
        breaker: def.breaker.clone(),
        ..Modifiers::default()
    }
}

/// Notes what cannot work of what steps and models have in common.
pub(crate) fn check_shared(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let zero = |limit: &&Located<u32>| limit.value == 0;
    if let Some(limit) = modifiers.limit.as_ref().filter(zero) {
        let hint = "give at least 1, or leave `limit` out";
        problem(&limit.at, "a limit of 0: no record would ever pass this step".to_owned(), hint);
    }
    if let (Some(limit), Some(adaptive)) = (&modifiers.limit, &modifiers.adaptive)
        && !adaptive.value.0.off
    {
        let hint = "a limit that finds itself has bounds of its own: `adaptive: { max: 64 }`";
        problem(&limit.at, "both `limit` and `adaptive`".to_owned(), hint);
    }
    if let Some(adaptive) = &modifiers.adaptive {
        let AdaptiveDef { min, max, initial, .. } = adaptive.value.0;
        // What the library has where nothing is said.
        let (least, most) = (min.unwrap_or(1), max.unwrap_or(256));
        let outside = initial.is_some_and(|initial| initial < least || initial > most);
        if [min, max].contains(&Some(0)) || least > most || outside {
            let hint = "1 <= min <= initial <= max; left out, min is 1 and max 256";
            problem(&adaptive.at, "these bounds exclude each other".to_owned(), hint);
        }
    }
    if let Some(rate) =
        modifiers.rate.as_ref().filter(|rate| rate.value.0.requests.is_none() && rate.value.0.tokens.is_none())
    {
        problem(&rate.at, "a rate of nothing".to_owned(), "say `requests: 60/min`, `tokens: 90000/min`, or both");
    }
    if let Some(breaker) = &modifiers.breaker
        && breaker.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0))
    {
        problem(&breaker.at, "a share is more than 0 and at most 1".to_owned(), "0.5 is half of the calls");
    }
}

fn hedging(modifiers: &Modifiers, kind: &StepKind, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(hedge) = &modifiers.hedge else { return };
    if hedge.value.0.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        problem(&hedge.at, "a share is more than 0 and at most 1".to_owned(), "0.05 is one call in twenty");
    }
    if let Some(name) = unrepeatable(kind).filter(|_| !modifiers.idempotent) {
        let message = format!("`{name}` may not be called twice for one record");
        let hint = match name {
            "http_request" => {
                "a hedge makes a second call: if that does no harm, say so: `idempotent: true` under `with`"
            }
            _ => "a hedge makes a second call: if that does no harm, say so: `idempotent: true` beside `hedge`",
        };
        problem(&hedge.at, message, hint);
    }
    let After::Delay(after) = hedge.value.0.after else { return };
    if longest(modifiers).is_some_and(|longest| after >= longest) {
        let message = "this hedge can never start: the time of an attempt is up before".to_owned();
        problem(&hedge.at, message, "let it start earlier, or give attempts more time");
    } else if modifiers.deadline.as_ref().is_some_and(|deadline| after >= deadline.value.0) {
        let message = "this hedge can never start: the deadline comes before".to_owned();
        problem(&hedge.at, message, "let it start earlier, or raise `deadline`");
    }
}

/// The longest time that an attempt may take, if there is one.
pub(crate) fn longest(modifiers: &Modifiers) -> Option<Duration> {
    modifiers.timeout.as_ref()?.value.0.attempt.iter().map(|time| time.0).max()
}

fn times(modifiers: &Modifiers, attempts: u32, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(timeout) = &modifiers.timeout else { return };
    let (at, def) = (&timeout.at, &timeout.value.0);
    let times = &def.attempt;
    if times.len() > 1 && times.len() > attempts as usize {
        let message = format!("{} timeouts, but at most {attempts} attempts", times.len());
        problem(at, message, "each timeout is that of one attempt: raise `retry` or drop some");
    }
    let beyond = |time: &Span| modifiers.deadline.as_ref().is_some_and(|deadline| time.0 > deadline.value.0);
    if times.iter().chain(&def.first).chain(&def.idle).any(beyond) {
        let message = "this timeout can never be reached: the deadline comes first".to_owned();
        problem(at, message, "the deadline covers all attempts and the waiting between them");
    }
}

/// What contradicts itself in a timeout alone.
fn within_attempt(modifiers: &Modifiers, problem: &mut dyn FnMut(&Range<usize>, String, &str)) {
    let Some(Located { value: Short(def), at }) = &modifiers.timeout else { return };
    let longest = longest(modifiers);
    if def.first.iter().chain(&def.idle).any(|time| longest.is_some_and(|longest| time.0 > longest)) {
        let message = "this can never be reached: the time of the attempt is up before".to_owned();
        problem(at, message, "`first` and `idle` are shorter than `attempt`");
    }
}

/// What can be changed of a step or a model while the flow runs.
#[derive(Clone, Default)]
pub(crate) struct Tunable {
    pub(crate) limit: Option<Limit>,
    pub(crate) rate: Option<Rate>,
}

/// All of them but the fallback; the policy puts them in the canonical order, however the file has them.
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
