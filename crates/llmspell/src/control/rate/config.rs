//! What a rate is set to.

use std::time::Duration;

use super::bucket::Bucket;

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quota {
    pub(super) units: u64,
    pub(super) period: Duration,
}

impl Quota {
    pub(super) fn new(units: u64, period: Duration) -> Self {
        assert!(units > 0, "a rate must be at least 1: with 0, nothing would ever run");
        assert!(!period.is_zero(), "the period of a rate must be longer than nothing");
        Quota { units, period }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) requests: Option<Quota>,
    pub(super) tokens: Option<Quota>,
    /// `None` means a tenth of the period.
    pub(super) burst: Option<Duration>,
    pub(super) longest_pause: Duration,
}

impl Config {
    pub(super) fn buckets(&self) -> (Option<Bucket>, Option<Bucket>) {
        (self.requests.map(|flow| self.bucket(flow)), self.tokens.map(|flow| self.bucket(flow)))
    }

    /// Full, for such a flow.
    pub(super) fn bucket(&self, flow: Quota) -> Bucket {
        Bucket::new(flow.units, flow.period, self.burst.unwrap_or(flow.period / 10))
    }
}
