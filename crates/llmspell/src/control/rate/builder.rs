//! The builder of a rate.

use std::time::Duration;

use super::Rate;
use super::settings::{Quota, RateSettings};

const DEFAULT_MAX_PAUSE: Duration = Duration::from_secs(600);

/// The settings of a [`Rate`] before it is built and can be shared; created by [`Rate::builder`].
///
/// Without further settings it limits neither calls nor tokens.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RateBuilder {
    settings: RateSettings,
}

impl RateBuilder {
    pub(super) fn new() -> Self {
        let settings = RateSettings { requests: None, tokens: None, burst: None, max_pause: DEFAULT_MAX_PAUSE };
        RateBuilder { settings }
    }

    /// Limits calls to `calls` per second.
    ///
    /// # Panics
    /// If `calls` is 0, because nothing would ever run.
    #[track_caller]
    pub fn per_second(self, calls: u64) -> Self {
        self.per(calls, Duration::from_secs(1))
    }

    /// Limits calls to `calls` per minute.
    ///
    /// # Panics
    /// If `calls` is 0, because nothing would ever run.
    #[track_caller]
    pub fn per_minute(self, calls: u64) -> Self {
        self.per(calls, Duration::from_secs(60))
    }

    /// Limits calls to `calls` per `period`.
    ///
    /// # Panics
    /// If `calls` or `period` is 0, because nothing would ever run.
    #[track_caller]
    pub fn per(mut self, calls: u64, period: Duration) -> Self {
        self.settings.requests = Some(Quota::new(calls, period));
        self
    }

    /// Limits the tokens of all calls to `tokens` per minute. Steps report their usage with
    /// [`Context::record_usage`](crate::Context::record_usage).
    ///
    /// # Panics
    /// If `tokens` is 0, because nothing would ever run.
    #[track_caller]
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.tokens_per(tokens, Duration::from_secs(60))
    }

    /// Limits the tokens of all calls to `tokens` per `period`.
    ///
    /// # Panics
    /// If `tokens` or `period` is 0, because nothing would ever run.
    #[track_caller]
    pub fn tokens_per(mut self, tokens: u64, period: Duration) -> Self {
        self.settings.tokens = Some(Quota::new(tokens, period));
        self
    }

    /// Allows a burst after an idle time: as much as the rate gives in `time`, but at least one call.
    ///
    /// The default is a tenth of the period, so that no minute has more than a tenth above the rate. A call of more
    /// tokens than the burst starts when the bucket is full.
    ///
    /// A full period suits servers that use token buckets themselves. With zero, calls are evenly spaced; but then the
    /// millisecond by which a timer may be late is lost each time.
    pub fn burst(mut self, time: Duration) -> Self {
        self.settings.burst = Some(time);
        self
    }

    /// Sets the longest pause that calls wait for when the server asks for one.
    ///
    /// The default is 10 minutes: more than limits per minute ask for, and less than limits per day. While more than
    /// this is left of a pause, calls fail at once with [`ErrorKind::Rejected`](crate::ErrorKind::Rejected), so that a
    /// fallback can serve. A call with a deadline before the end of the pause fails at once in any case. A server that
    /// reports [no remaining quota](crate::Context::rate_limits) also starts a pause, until it has some again.
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.settings.max_pause = pause;
        self
    }

    /// Creates the rate. Its clones share their quota.
    pub fn build(self) -> Rate {
        Rate::new(self.settings)
    }
}
