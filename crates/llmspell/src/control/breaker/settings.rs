//! The settings of a breaker.

use std::time::Duration;

/// When a breaker opens, for how long, and how it probes.
#[derive(Clone, Debug)]
pub(super) struct BreakerSettings {
    pub(super) failure_rate: f64,
    pub(super) window: Duration,
    pub(super) min_calls: u64,
    pub(super) consecutive_failures: Option<u64>,
    /// `None` means until it is reset.
    pub(super) open_for: Option<Duration>,
    pub(super) max_open: Duration,
    pub(super) probes: u32,
    pub(super) jitter: bool,
}

/// A breaker may stay open for longer, by up to its open time divided by this.
pub(super) const JITTER_DIVISOR: u32 = 4;

/// The longest open time: a longer one may not fit into an instant.
pub(super) const MAX_OPEN_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl BreakerSettings {
    /// Returns how long to stay open after `failed_probes` probes have failed in a row.
    pub(super) fn open_time(&self, failed_probes: u32) -> Option<Duration> {
        let first = self.open_for?;
        Some(first.saturating_mul(1 << failed_probes.min(31)).min(self.max_open.max(first)).min(MAX_OPEN_TIME))
    }

    /// Returns a random part of `time`; zero without jitter.
    pub(super) fn jitter_up_to(&self, time: Duration) -> Duration {
        if self.jitter { time.mul_f64(fastrand::f64()) } else { Duration::ZERO }
    }
}
