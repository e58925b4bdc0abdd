//! The rate limits that a server reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observe::millis;

/// The rate limits that a server reports in a reply, such as in the headers `x-ratelimit-remaining-requests` and
/// `x-ratelimit-remaining-tokens`. A step reports them with [`Context::rate_limits`](crate::Context::rate_limits).
///
/// ```
/// use std::time::Duration;
/// use llmspell::observe::{RateLimits, RateWindow};
///
/// let limits = RateLimits::default().requests(RateWindow::new(500, 12, Duration::from_secs(58)));
/// assert_eq!(limits.requests.map(|window| window.remaining), Some(12));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateLimits {
    /// The limit on requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RateWindow>,
    /// The limit on tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<RateWindow>,
}

impl RateLimits {
    /// Returns the limits with one on requests.
    pub fn requests(self, window: RateWindow) -> Self {
        RateLimits { requests: Some(window), ..self }
    }

    /// Returns the limits with one on tokens.
    pub fn tokens(self, window: RateWindow) -> Self {
        RateLimits { tokens: Some(window), ..self }
    }
}

/// The state of one limit of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateWindow {
    /// The full quota.
    pub limit: u64,
    /// The rest of the quota now.
    pub remaining: u64,
    /// The time until the full quota is available again.
    #[serde(rename = "reset_ms", with = "millis")]
    pub reset: Duration,
}

impl RateWindow {
    /// Creates a window of which `remaining` of `limit` are left, and the full `limit` is available again after
    /// `reset`.
    pub fn new(limit: u64, remaining: u64, reset: Duration) -> Self {
        RateWindow { limit, remaining, reset }
    }
}
