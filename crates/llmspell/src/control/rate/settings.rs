//! The settings of a rate.

use std::time::Duration;

use super::bucket::Bucket;

/// Units per period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quota {
    pub(super) units: u64,
    pub(super) period: Duration,
}

impl Quota {
    #[track_caller]
    pub(super) fn new(units: u64, period: Duration) -> Self {
        assert!(units > 0, "a rate must be at least 1: with 0, nothing would ever run");
        assert!(!period.is_zero(), "the period of a rate must be longer than 0");
        Quota { units, period }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RateSettings {
    pub(super) requests: Option<Quota>,
    pub(super) tokens: Option<Quota>,
    /// `None` means a tenth of the period.
    pub(super) burst: Option<Duration>,
    pub(super) max_pause: Duration,
}

impl RateSettings {
    /// Returns the buckets of requests and tokens.
    pub(super) fn buckets(&self) -> (Option<Bucket>, Option<Bucket>) {
        (self.requests.map(|quota| self.bucket(quota)), self.tokens.map(|quota| self.bucket(quota)))
    }

    /// Returns a full bucket for a quota.
    pub(super) fn bucket(&self, quota: Quota) -> Bucket {
        Bucket::new(quota.units, quota.period, self.burst.unwrap_or(quota.period / 10))
    }
}
