//! What a server says about its own limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observe::event::millis;

/// What a server's answer says about its limits, such as the headers `x-ratelimit-remaining-requests` and
/// `x-ratelimit-remaining-tokens`. Say it with [`Context::rate_limits`](crate::Context::rate_limits).
///
/// ```
/// use std::time::Duration;
/// use llmspell::{RateLimits, RateWindow};
///
/// let told = RateLimits::default().requests(RateWindow::new(500, 12, Duration::from_secs(58)));
/// assert_eq!(told.requests.map(|window| window.remaining), Some(12));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateLimits {
    /// How many requests it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RateWindow>,
    /// How many tokens it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<RateWindow>,
}

impl RateLimits {
    /// The same with a limit on requests.
    pub fn requests(self, window: RateWindow) -> Self {
        RateLimits { requests: Some(window), ..self }
    }

    /// The same with a limit on tokens.
    pub fn tokens(self, window: RateWindow) -> Self {
        RateLimits { tokens: Some(window), ..self }
    }
}

/// One limit of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateWindow {
    /// How much it takes in all.
    pub limit: u64,
    /// How much of that is left now.
    pub remaining: u64,
    /// In which time all of it will be there again.
    #[serde(rename = "reset_ms", with = "millis")]
    pub reset: Duration,
}

impl RateWindow {
    /// `remaining` of `limit` are left, and all of them again after `reset`.
    pub fn new(limit: u64, remaining: u64, reset: Duration) -> Self {
        RateWindow { limit, remaining, reset }
    }
}
