//! The modifiers of a step, as the library's [`Policy`] and [`Limit`].

use std::time::Duration;

use llmspell::{Error, Kind, Policy, Retry};

use crate::diagnostic::{Diagnostic, Source};
use crate::file::{RetryDef, RetryOn, StepDef};

/// More attempts than this are a mistake.
const MOST_ATTEMPTS: u32 = 100;

/// Notes what cannot work.
pub(crate) fn check(step: &StepDef, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut problem = |at: &std::ops::Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    let attempts = step.retry.as_ref().map_or(1, |retry| retry.value.max);
    if let Some(retry) = &step.retry {
        if attempts == 0 {
            problem(
                &retry.at,
                "0 attempts: the step would never run".to_owned(),
                "count the first attempt too, or leave `retry` out",
            );
        } else if attempts > MOST_ATTEMPTS {
            problem(&retry.at, format!("{attempts} attempts are too many"), "give at most 100");
        }
    }
    if let Some(limit) = step.limit.as_ref().filter(|limit| limit.value == 0) {
        problem(
            &limit.at,
            "a limit of 0: no record would ever pass this step".to_owned(),
            "give at least 1, or leave `limit` out",
        );
    }
    let Some(timeout) = &step.timeout else { return };
    let times = &timeout.value.0;
    if times.len() > 1 && times.len() > attempts as usize {
        let message = format!("{} timeouts, but at most {attempts} attempts", times.len());
        problem(&timeout.at, message, "each timeout is that of one attempt: raise `retry` or drop some");
    }
    if let Some(deadline) = &step.deadline
        && times.iter().any(|time| time.0 > deadline.value.0)
    {
        let message = "this timeout can never be reached: the deadline comes first".to_owned();
        problem(&timeout.at, message, "the deadline covers all attempts and the waiting between them");
    }
}

/// All of them; the policy puts them in the canonical order, however the file has them.
pub(crate) fn policy(step: &StepDef) -> Policy {
    let mut policy = Policy::new();
    if let Some(timeout) = &step.timeout {
        let times: Vec<Duration> = timeout.value.0.iter().map(|time| time.0).collect();
        policy = policy.timeout(times);
    }
    if let Some(deadline) = &step.deadline {
        policy = policy.deadline(deadline.value.0);
    }
    if let Some(retry) = &step.retry {
        policy = policy.retry(self::retry(&retry.value));
    }
    if let Some(limit) = &step.limit {
        policy = policy.limit(limit.value as usize);
    }
    policy
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

impl RetryOn {
    fn holds(self, error: &Error) -> bool {
        match self {
            RetryOn::Transient => error.is_transient(),
            RetryOn::Timeout => error.kind() == Kind::Timeout,
            RetryOn::Failed => matches!(error.kind(), Kind::Failed | Kind::Overloaded | Kind::Denied),
            RetryOn::Panicked => error.kind() == Kind::Panicked,
        }
    }
}
