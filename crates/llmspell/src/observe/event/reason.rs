//! Who refused a call, and why something was done or not: words for what an event says.

use serde::{Deserialize, Serialize};

/// What refuses calls before they begin. One that was called off or out of time in a line is refused by what it stood in
/// line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectedBy {
    /// A [rate](crate::Rate): no turn would come before the deadline, or the server wants to be left alone for longer
    /// than calls sit out.
    Rate,
    /// A [budget](crate::Budget): there is not enough left.
    Budget,
    /// A [breaker](crate::Breaker): the other side fails.
    Breaker,
    /// A [limit](crate::Limit): nobody wanted the call any more before a permit was free.
    Limit,
}

impl RejectedBy {
    /// Its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectedBy::Rate => "rate",
            RejectedBy::Budget => "budget",
            RejectedBy::Breaker => "breaker",
            RejectedBy::Limit => "limit",
        }
    }
}

/// Why no further attempt is made although the error is one that is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RetryStop {
    /// There were as many as there [may be](crate::Retry::max_attempts).
    Attempts,
    /// Retries that are nested in one another share what each call may make of them, and that is used up.
    NestedRetries,
    /// The [budget that many calls share](crate::RetryBudget) is used up.
    RetryBudget,
    /// Another attempt would not fit before the deadline.
    Deadline,
    /// The other side asked for more time than [is waited](crate::Retry::max_wait).
    RetryAfter,
    /// The attempt cannot be stopped and is still running.
    Runaway,
    /// A reader has seen [output](crate::Retry::after_output) of the attempt.
    VisibleOutput,
}

impl RetryStop {
    /// Its name in events.
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

/// Why a [limit that adapts](crate::Adaptive) has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitChange {
    /// It grows towards what is thought to be possible.
    Growth,
    /// It tries one call more than that.
    Probe,
    /// The other side has said that it is too much.
    Overload,
    /// Calls have become slow.
    Slow,
}

impl LimitChange {
    /// Its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitChange::Growth => "growth",
            LimitChange::Probe => "probe",
            LimitChange::Overload => "overload",
            LimitChange::Slow => "slow",
        }
    }
}
