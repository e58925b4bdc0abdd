//! The reasons why a retry makes no further attempt.

use std::time::Duration;

use crate::display;

use crate::observe::event::RetryStop;

/// The reason why there is no further attempt.
pub(super) enum StopReason {
    /// The error is not retryable.
    Final,
    Attempts,
    /// The retries of this call are used up, all nested retries together.
    Nested,
    /// The retry budget that calls share is used up.
    RetryBudget,
    Deadline,
    VisibleOutput,
    RetryAfter(Duration),
    Runaway,
    Cancelled,
}

impl StopReason {
    /// Returns the reason as events carry it; `None` if there is no event.
    pub(super) fn event_reason(&self) -> Option<RetryStop> {
        match self {
            StopReason::Final | StopReason::Cancelled => None,
            StopReason::Attempts => Some(RetryStop::Attempts),
            StopReason::Nested => Some(RetryStop::NestedRetries),
            StopReason::RetryBudget => Some(RetryStop::RetryBudget),
            StopReason::Deadline => Some(RetryStop::Deadline),
            StopReason::VisibleOutput => Some(RetryStop::VisibleOutput),
            StopReason::RetryAfter(_) => Some(RetryStop::RetryAfter),
            StopReason::Runaway => Some(RetryStop::Runaway),
        }
    }

    pub(super) fn explain(&self, attempts: u32) -> String {
        let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        match self {
            StopReason::Final | StopReason::Attempts => format!("gave up after {times}"),
            StopReason::Nested => format!("gave up after {times}: the retries of this call are used up"),
            StopReason::RetryBudget => format!("gave up after {times}: the retry budget that calls share is used up"),
            StopReason::Deadline => format!("gave up after {times}: another attempt does not fit before the deadline"),
            StopReason::VisibleOutput => format!("gave up after {times}: a reader has already seen its output"),
            StopReason::Runaway => format!("gave up after {times}: its work cannot be stopped and is still running"),
            StopReason::Cancelled => format!("cancelled after {times}"),
            StopReason::RetryAfter(asked) => {
                format!("gave up after {times}: the error asks to wait {}", display::duration(*asked))
            }
        }
    }
}
