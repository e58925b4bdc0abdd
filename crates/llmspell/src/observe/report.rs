//! What the events of a run add up to.

mod chain;
mod stages;
mod table;
mod tally;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use tally::Tally;

use crate::observe::event::millis;
use crate::observe::usage::Usage;
use crate::path::Path;

/// Time, percentiles, critical path: what a recording adds up to; made by
/// [`Context::report`](crate::Context::report).
///
/// Prints as an aligned table and serialises to JSON, with times in milliseconds. Steps without a
/// [name](crate::Step::named) do not appear in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// From the first event to the last.
    #[serde(rename = "wall_ms", with = "millis")]
    pub wall: Duration,
    /// How long the same calls would take one after another: the time in which each was at work itself, not
    /// inside another named call, and its waits between attempts; but not its time in line. The
    /// work of cancelled calls does not count.
    #[serde(rename = "sequential_ms", with = "millis")]
    pub sequential: Duration,
    /// `sequential` divided by `wall`.
    pub speedup: f64,
    /// One entry for each path, in the order of their first calls.
    pub steps: Vec<StepReport>,
    /// The step with the largest part of the critical path.
    pub bottleneck: Option<Path>,
    /// The steps along the chain of calls, each waiting for the one before, that led to the last end of
    /// all: only what is in here can make the run shorter. A call that waited for a permit is taken to have
    /// waited for the call of the same step that ended last; for a limit that several steps share, that is
    /// an approximation.
    pub critical_path: Vec<CriticalStep>,
    /// Each pipeline against the best that its stages allow.
    pub pipelines: Vec<PipelineReport>,
    /// Calls that have not ended yet.
    pub in_progress: usize,
    /// What all calls have [said](crate::Context::record_usage) that they used.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
}

/// All calls of one step path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The path.
    pub path: Path,
    /// How often it was called.
    pub calls: u64,
    /// Calls that returned a value.
    pub ok: u64,
    /// Calls that returned an error.
    pub failed: u64,
    /// Calls that were dropped before they ended: timed out, or lost a race.
    pub cancelled: u64,
    /// Calls whose value is less than what was asked for.
    pub degraded: u64,
    /// Calls and the retries inside of them.
    pub attempts: u64,
    /// Work that could not be dropped and outlived its caller.
    pub runaways: u64,
    /// How many of the runaways are still alive.
    pub runaways_alive: u64,
    /// How often a [breaker](crate::Breaker), a [rate](crate::Rate) or a [budget](crate::Budget) refused to let it
    /// run. One in front of the name makes no call of these;
    /// one behind the name makes each an attempt, or a failure.
    pub refused: u64,
    /// Attempts that the other side refused because it was [overloaded](crate::Kind::Overloaded).
    #[serde(default)]
    pub overloaded: u64,
    /// Attempts whose time was up.
    #[serde(default)]
    pub timed_out: u64,
    /// The shortest of the times that were up.
    #[serde(default, rename = "timeout_ms", with = "millis::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Second copies of slow calls.
    #[serde(default)]
    pub hedged: u64,
    /// How many of the second copies were first.
    #[serde(default)]
    pub hedges_won: u64,
    /// The median of the time from start to end, waiting included, of calls that returned.
    #[serde(rename = "p50_ms", with = "millis")]
    pub p50: Duration,
    /// The 95th percentile of the same.
    #[serde(rename = "p95_ms", with = "millis")]
    pub p95: Duration,
    /// The 99th percentile of the same.
    #[serde(rename = "p99_ms", with = "millis")]
    pub p99: Duration,
    /// Time at work, without waiting and without named steps inside, of calls that returned.
    #[serde(rename = "busy_ms", with = "millis")]
    pub busy: Duration,
    /// The same of calls that were cancelled.
    #[serde(rename = "wasted_ms", with = "millis")]
    pub wasted: Duration,
    /// Time in line, for a permit, a turn or a budget, and between attempts.
    #[serde(rename = "waited_ms", with = "millis")]
    pub waited: Duration,
    /// The part of `waited` that was spent between attempts.
    #[serde(default, rename = "backed_off_ms", with = "millis")]
    pub backed_off: Duration,
    /// What its calls used themselves, not in named steps inside of them.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
}

/// The part of one step in the critical path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CriticalStep {
    /// The path of the step.
    pub path: Path,
    /// How many of its calls are on the critical path.
    pub calls: u64,
    /// Their time on it.
    #[serde(rename = "time_ms", with = "millis")]
    pub time: Duration,
}

/// A pipeline against the best that its stages allow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PipelineReport {
    /// The path of the pipeline.
    pub path: Path,
    /// Records that entered it.
    pub records: u64,
    /// From the first start to the last end.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// The work of all stages, one after another.
    #[serde(rename = "sequential_ms", with = "millis")]
    pub sequential: Duration,
    /// A lower bound for the time in which any schedule could do the measured work within the limits of the
    /// stages. A limit on the records in flight is not part of it.
    #[serde(rename = "best_ms", with = "millis")]
    pub best: Duration,
    /// `best` divided by `took`: 1 means that it cannot be faster with these limits.
    pub efficiency: f64,
    /// The stages in order.
    pub stages: Vec<StageReport>,
}

/// One stage of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageReport {
    /// The name of the stage.
    pub name: String,
    /// Its limit; `None` means no limit.
    pub limit: Option<usize>,
    /// Records that passed it, or failed in it; not those that were cancelled in it.
    pub records: u64,
    /// Time at work, over all records.
    #[serde(rename = "work_ms", with = "millis")]
    pub work: Duration,
    /// Time in line, over all records that got through it.
    #[serde(rename = "waited_ms", with = "millis")]
    pub waited: Duration,
    /// The share of its limit that was at work, over the whole run; `None` without a limit.
    pub utilisation: Option<f64>,
}
