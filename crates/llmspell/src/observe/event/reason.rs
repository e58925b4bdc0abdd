//! Reasons that events give: what rejected a call, why retries stopped, why a limit changed.

use serde::{Deserialize, Serialize};

/// The control that rejected a call before it began. A call that was cancelled or ran out of time in a wait queue is
/// rejected by the control that owns the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectedBy {
    /// A [rate](crate::Rate): the call could not start before its deadline, or the pause that the server requested is longer
    /// than calls may wait.
    Rate,
    /// A [budget](crate::Budget): not enough is left.
    Budget,
    /// A [breaker](crate::Breaker): it is open.
    Breaker,
    /// A [limit](crate::Limit): the call was cancelled or ran out of time before a permit was free.
    Limit,
}

impl RejectedBy {
    /// Returns its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectedBy::Rate => "rate",
            RejectedBy::Budget => "budget",
            RejectedBy::Breaker => "breaker",
            RejectedBy::Limit => "limit",
        }
    }
}

/// The reason why no further attempt is made, although the error is one that is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RetryStop {
    /// The [maximum of attempts](crate::Retry::max_attempts) was reached.
    Attempts,
    /// Nested retries share one allowance for each call, and it is used up.
    NestedRetries,
    /// The [retry budget](crate::control::RetryBudget) that calls share is used up.
    RetryBudget,
    /// Another attempt would not fit before the deadline.
    Deadline,
    /// The server requested a longer wait than [allowed](crate::Retry::max_wait).
    RetryAfter,
    /// The attempt cannot be cancelled and is still running.
    Runaway,
    /// A consumer has received [output](crate::Retry::after_output) of the attempt.
    VisibleOutput,
}

impl RetryStop {
    /// Returns its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            RetryStop::Attempts => "attempts",
            RetryStop::NestedRetries => "nested_retries",
            RetryStop::RetryBudget => "retry_budget",
            RetryStop::Deadline => "deadline",
            RetryStop::RetryAfter => "retry_after",
            RetryStop::Runaway => "runaway",
            RetryStop::VisibleOutput => "visible_output",
        }
    }
}

/// The reason why an [adaptive limit](crate::control::Adaptive) changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitChange {
    /// It grows towards the estimated capacity.
    Growth,
    /// It probes one call above the estimated capacity.
    Probe,
    /// The server reported that it is overloaded.
    Overload,
    /// Calls became slow.
    Slow,
}

impl LimitChange {
    /// Returns its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitChange::Growth => "growth",
            LimitChange::Probe => "probe",
            LimitChange::Overload => "overload",
            LimitChange::Slow => "slow",
        }
    }
}
