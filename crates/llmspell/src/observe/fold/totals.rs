//! Counts of a step, and of a run.

use std::time::Duration;

use crate::observe::histogram::Histogram;
use crate::observe::usage::Usage;
use crate::path::Path;

/// The counts of all calls of one path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepTotals {
    /// The path.
    pub path: Path,
    /// The time of the first event of this step and its call: the steps of several folds are ordered by it.
    pub(crate) first_seen: (Duration, u64),
    /// Calls, those in progress included.
    pub calls: u64,
    /// Calls that returned a value.
    pub ok: u64,
    /// Calls that returned an error.
    pub failed: u64,
    /// Calls that were dropped before they ended.
    pub cancelled: u64,
    /// Calls whose value is less than what was asked for.
    pub degraded: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Work that could not be dropped and outlived its caller.
    pub runaways: u64,
    /// Runaways that have ended.
    pub runaways_ended: u64,
    /// Calls refused before they began.
    pub refused: u64,
    /// Attempts that failed because the server was overloaded.
    pub overloaded: u64,
    /// Calls that ran out of time.
    pub timed_out: u64,
    /// The shortest time limit that a call exceeded.
    pub shortest_timeout: Option<Duration>,
    /// Second copies of slow calls.
    pub hedged: u64,
    /// Second copies that finished first.
    pub hedges_won: u64,
    /// The time from start to end of calls that returned.
    pub times: Histogram,
    /// Time spent in wait queues and between attempts.
    pub waited: Duration,
    /// The part of `waited` that was spent between attempts.
    pub backed_off: Duration,
    /// Consumption reported by calls of this step, not by named steps inside of them.
    pub usage: Usage,
    /// The limit last reported, and when: of several folds, the latest counts.
    pub(crate) limit: (Duration, Option<usize>),
}

impl StepTotals {
    pub(super) fn new(path: Path, first_seen: (Duration, u64)) -> Self {
        StepTotals {
            path,
            first_seen,
            calls: 0,
            ok: 0,
            failed: 0,
            cancelled: 0,
            degraded: 0,
            retries: 0,
            runaways: 0,
            runaways_ended: 0,
            refused: 0,
            overloaded: 0,
            timed_out: 0,
            shortest_timeout: None,
            hedged: 0,
            hedges_won: 0,
            times: Histogram::default(),
            waited: Duration::ZERO,
            backed_off: Duration::ZERO,
            usage: Usage::default(),
            limit: (Duration::ZERO, None),
        }
    }

    /// The limit on concurrent calls that was last reported.
    pub fn limit(&self) -> Option<usize> {
        self.limit.1
    }

    /// Adds the counts of the same step in another fold.
    pub(crate) fn merge(&mut self, other: &StepTotals) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.calls += other.calls;
        self.ok += other.ok;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.degraded += other.degraded;
        self.retries += other.retries;
        self.runaways += other.runaways;
        self.runaways_ended += other.runaways_ended;
        self.refused += other.refused;
        self.overloaded += other.overloaded;
        self.timed_out += other.timed_out;
        self.shortest_timeout = match (self.shortest_timeout, other.shortest_timeout) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.hedged += other.hedged;
        self.hedges_won += other.hedges_won;
        self.times.merge(&other.times);
        self.waited += other.waited;
        self.backed_off += other.backed_off;
        self.usage += other.usage;
        self.limit = self.limit.max(other.limit);
    }
}

/// The counts of a run. They include events outside of every named step, which no [`StepTotals`] counts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Calls refused before they began.
    pub refused: u64,
    /// Attempts that failed because the server was overloaded.
    pub overloaded: u64,
    /// Second copies of slow calls.
    pub hedged: u64,
    /// Work that could not be dropped and outlived its caller.
    pub runaways: u64,
    /// Runaways that have ended.
    pub runaways_ended: u64,
    /// Consumption.
    pub usage: Usage,
}

impl Totals {
    /// Adds the counts of another fold of the same run.
    pub(crate) fn merge(&mut self, other: &Totals) {
        self.refused += other.refused;
        self.overloaded += other.overloaded;
        self.hedged += other.hedged;
        self.runaways += other.runaways;
        self.runaways_ended += other.runaways_ended;
        self.usage += other.usage;
    }

    /// Runaways that have not ended.
    pub fn runaways_alive(&self) -> u64 {
        self.runaways.saturating_sub(self.runaways_ended)
    }
}
