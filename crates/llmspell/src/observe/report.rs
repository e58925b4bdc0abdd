//! The report of a recording: times, percentiles, the critical path.
//!
//! Owns the figures that need events in order. Counts of steps come from the [fold](crate::observe::fold).

mod builder;
mod chain;
mod stages;
mod table;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use builder::ReportBuilder;

use crate::observe::millis;
use crate::observe::usage::Usage;
use crate::path::Path;

/// A summary of a recording: times, percentiles, the critical path; made by [`Context::report`](crate::Context::report).
///
/// Prints as an aligned table and serialises to JSON, with times in milliseconds. Steps without a
/// [name](crate::Step::named) are not included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The time from the first event to the last.
    #[serde(rename = "wall_ms", with = "millis")]
    pub wall: Duration,
    /// The time that the same calls would take one after another: the own work of each, outside of named calls inside of it,
    /// and its waits between attempts. Time in wait queues and the work of cancelled calls do not count.
    #[serde(rename = "sequential_ms", with = "millis")]
    pub sequential: Duration,
    /// `sequential` divided by `wall`.
    pub speedup: f64,
    /// One entry for each path, in the order of the first calls.
    pub steps: Vec<StepReport>,
    /// The step with the largest part of the critical path.
    pub bottleneck: Option<Path>,
    /// The steps along the chain of calls, each waiting for the one before, that led to the end of the run. Only a faster
    /// step of this chain can make the run shorter. A call that waited for a permit counts as waiting for the call of the
    /// same step that ended last; for a limit that several steps share, that is an approximation.
    pub critical_path: Vec<CriticalStep>,
    /// Each pipeline, compared with the best time that its stages allow.
    pub pipelines: Vec<PipelineReport>,
    /// Calls in progress.
    pub in_progress: usize,
    /// The consumption that all calls have [reported](crate::Context::record_usage).
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
}

/// The calls of one step path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The path.
    pub path: Path,
    /// Calls.
    pub calls: u64,
    /// Calls that returned a value.
    pub ok: u64,
    /// Calls that returned an error.
    pub failed: u64,
    /// Calls that were dropped before they returned: they timed out or lost a race.
    pub cancelled: u64,
    /// Calls whose value is partial or a fallback.
    pub degraded: u64,
    /// Calls, plus the retries inside of them.
    pub attempts: u64,
    /// Orphaned work: it could not be dropped and outlived its caller.
    pub runaways: u64,
    /// Orphaned work that is still running.
    pub runaways_alive: u64,
    /// Rejections by a [breaker](crate::Breaker), a [rate](crate::Rate) or a [budget](crate::Budget). A control outside of
    /// the name rejects before there is a call; one inside of the name makes each rejection an attempt or a failure.
    pub refused: u64,
    /// Attempts that failed because the server was [overloaded](crate::ErrorKind::Overloaded).
    #[serde(default)]
    pub overloaded: u64,
    /// Attempts that exceeded a time limit.
    #[serde(default)]
    pub timed_out: u64,
    /// The shortest time limit that was exceeded.
    #[serde(default, rename = "timeout_ms", with = "millis::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Second copies of slow calls.
    #[serde(default)]
    pub hedged: u64,
    /// Second copies that finished first.
    #[serde(default)]
    pub hedges_won: u64,
    /// The median time from start to end, waits included, of calls that returned.
    #[serde(rename = "p50_ms", with = "millis")]
    pub p50: Duration,
    /// The 95th percentile of the same.
    #[serde(rename = "p95_ms", with = "millis")]
    pub p95: Duration,
    /// The 99th percentile of the same.
    #[serde(rename = "p99_ms", with = "millis")]
    pub p99: Duration,
    /// The own work of calls that returned: without waits and without named steps inside of them.
    #[serde(rename = "busy_ms", with = "millis")]
    pub busy: Duration,
    /// The own work of calls that were cancelled.
    #[serde(rename = "wasted_ms", with = "millis")]
    pub wasted: Duration,
    /// The time in wait queues of limits, rates and budgets, and between attempts.
    #[serde(rename = "waited_ms", with = "millis")]
    pub waited: Duration,
    /// The part of `waited` that was spent between attempts.
    #[serde(default, rename = "backed_off_ms", with = "millis")]
    pub backed_off: Duration,
    /// The consumption of its calls, outside of named steps inside of them.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
}

/// The part of one step in the critical path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CriticalStep {
    /// The path of the step.
    pub path: Path,
    /// Its calls on the critical path.
    pub calls: u64,
    /// Their time on it.
    #[serde(rename = "time_ms", with = "millis")]
    pub time: Duration,
}

/// A pipeline, compared with the best time that its stages allow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PipelineReport {
    /// The path of the pipeline.
    pub path: Path,
    /// Records that entered it.
    pub records: u64,
    /// The time from the first start to the last end.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// The work of all stages, one after another.
    #[serde(rename = "sequential_ms", with = "millis")]
    pub sequential: Duration,
    /// A lower bound of the time that any schedule needs for the measured work within the limits of the stages. A limit on
    /// records in flight is not part of it.
    #[serde(rename = "best_ms", with = "millis")]
    pub best: Duration,
    /// `best` divided by `took`; 1 means that the pipeline cannot be faster with these limits.
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
    /// Its limit on concurrent records; `None` means no limit.
    pub limit: Option<usize>,
    /// Records that passed it or failed in it, but not those that were cancelled in it.
    pub records: u64,
    /// The work on all records.
    #[serde(rename = "work_ms", with = "millis")]
    pub work: Duration,
    /// The time in wait queues of all records that passed it.
    #[serde(rename = "waited_ms", with = "millis")]
    pub waited: Duration,
    /// The share of its limit that was in use over the whole run; `None` without a limit.
    pub utilisation: Option<f64>,
}
