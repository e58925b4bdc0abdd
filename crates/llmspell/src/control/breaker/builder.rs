//! The builder of a breaker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::settings::{BreakerSettings, MAX_OPEN_TIME};
use super::shared_circuit::SharedCircuit;
use super::{Breaker, BreakerInner, Classify};
use crate::error::{Error, ErrorKind};

/// The settings of a [`Breaker`] before it is built and can be shared; created by [`Breaker::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct BreakerBuilder {
    settings: BreakerSettings,
    when: Option<Arc<Classify>>,
    counts_dropped: bool,
}

impl BreakerBuilder {
    pub(super) fn new() -> Self {
        let settings = BreakerSettings {
            failure_rate: 0.5,
            window: Duration::from_secs(30),
            min_calls: 20,
            consecutive_failures: None,
            open_for: Some(Duration::from_secs(5)),
            max_open: Duration::from_secs(60),
            probes: 1,
            jitter: true,
        };
        BreakerBuilder { settings, when: None, counts_dropped: false }
    }

    /// Counts only [denied](ErrorKind::Denied) calls as failures. The breaker opens after three in a row or at the failure
    /// rate, and stays open until it is [reset](Breaker::reset).
    ///
    /// It suits whole runs: without credentials or money no other call succeeds either, and calls before the denied one
    /// in a flow may cost money. Pass it to [`Streaming::breaker`](crate::pattern::stream::Streaming::breaker).
    pub fn on_denied(self) -> Self {
        self.when(|error| error.kind() == ErrorKind::Denied).consecutive_failures(3).until_reset()
    }

    /// Sets the share of calls that must fail for the breaker to open, above 0 and at most 1. The default is 0.5.
    ///
    /// # Panics
    /// If the share is not above 0 and at most 1.
    #[track_caller]
    pub fn failure_rate(mut self, share: f64) -> Self {
        assert!(share > 0.0 && share <= 1.0, "the failure rate must be above 0 and at most 1, found {share}");
        self.settings.failure_rate = share;
        self
    }

    /// Sets how long a call counts. The window has ten parts, of which the oldest is forgotten as a whole, so it can be a
    /// tenth shorter. The default is 30 s.
    ///
    /// # Panics
    /// If `time` is zero.
    #[track_caller]
    pub fn window(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the window of a breaker must be longer than 0: otherwise it would never open");
        self.settings.window = time;
        self
    }

    /// Sets how many calls must be in the window before their failure rate counts. The default is 20.
    ///
    /// # Panics
    /// If `calls` is 0.
    #[track_caller]
    pub fn min_calls(mut self, calls: u64) -> Self {
        assert!(calls > 0, "a failure rate needs at least one call");
        self.settings.min_calls = calls;
        self
    }

    /// Also opens the breaker after `failures` failures in a row, whatever the number of calls and the time between them.
    /// The default is never.
    ///
    /// # Panics
    /// If `failures` is 0.
    #[track_caller]
    pub fn consecutive_failures(mut self, failures: u64) -> Self {
        assert!(failures > 0, "consecutive failures must be at least 1");
        self.settings.consecutive_failures = Some(failures);
        self
    }

    /// Sets how long the breaker stays open at first. The default is 5 s.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.settings.open_for = Some(time.min(MAX_OPEN_TIME));
        self
    }

    /// Sets the longest time for which the breaker stays open, however many probes have failed. A server that asks for
    /// more gets more. The default is 1 min, or [`BreakerBuilder::open_for`] if that is longer.
    pub fn max_open(mut self, time: Duration) -> Self {
        self.settings.max_open = time;
        self
    }

    /// Keeps the breaker open until [`Breaker::reset`], without probes.
    pub fn until_reset(mut self) -> Self {
        self.settings.open_for = None;
        self
    }

    /// Sets how many probes can run at a time, and how many must succeed to close the breaker. The default is 1.
    ///
    /// # Panics
    /// If `calls` is 0, because the breaker would never close.
    #[track_caller]
    pub fn probes(mut self, calls: u32) -> Self {
        assert!(calls > 0, "without a probe a breaker would never close; use `until_reset` if that is intended");
        self.settings.probes = calls;
        self
    }

    /// Keeps the breaker open for exactly the set time. Processes that opened together then probe together.
    pub fn without_jitter(mut self) -> Self {
        self.settings.jitter = false;
        self
    }

    /// Counts the errors for which `failure` returns true as failures, instead of the default ones.
    ///
    /// For [`ErrorKind::AllFailed`], `failure` gets the last cause. It is not called for [`ErrorKind::Rejected`],
    /// [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`], which never count. Errors that `?` has converted are not
    /// transient, and so not failures by default: `when(|_| true)` counts them.
    pub fn when(mut self, failure: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(failure));
        self
    }

    /// Counts calls that are dropped before they end as failures, probes included. It suits calls that only a deadline
    /// further out ends.
    pub fn counting_dropped(mut self) -> Self {
        self.counts_dropped = true;
        self
    }

    /// Creates the breaker, closed. Its clones share their state.
    pub fn build(self) -> Breaker {
        let BreakerBuilder { settings, when, counts_dropped } = self;
        let circuit = SharedCircuit::new(settings.clone());
        Breaker(Arc::new(BreakerInner { settings, when, counts_dropped, circuit }))
    }
}

impl fmt::Debug for BreakerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerBuilder")
            .field("settings", &self.settings)
            .field("when", &if self.when.is_some() { "custom" } else { "default" })
            .field("counts_dropped", &self.counts_dropped)
            .finish()
    }
}
