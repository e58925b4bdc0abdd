//! The state of a run at one moment.

use std::time::Duration;

use llmspell::observe::{Usage, WaitKind};
use serde::{Serialize, Serializer};

/// The state of a run at one moment; made by [`Progress::snapshot`](crate::Progress::snapshot).
///
/// Serialises to JSON, with times in milliseconds; the fields are those of `--progress json`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The time since the run began.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
    /// The total amount of work, if it is known.
    #[serde(flatten)]
    pub total: Option<Total>,
    /// The number of input bytes that are finished.
    pub bytes_done: u64,
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is partial or a substitute; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all finished records, those replayed from an earlier session.
    pub replayed: u64,
    /// Records in the flow.
    pub in_flight: usize,
    /// Whether the run is ending: it reads no more records.
    pub stopping: bool,
    /// Whether the run is paused.
    pub paused: bool,
    /// Records per second in the last five seconds.
    pub rate: f64,
    /// The estimated time to the end; `None` if there is no basis for an estimate.
    #[serde(rename = "eta_ms", serialize_with = "some_millis")]
    pub eta: Option<Duration>,
    /// How long outcomes waited for the output.
    #[serde(rename = "output_wait_ms", serialize_with = "millis")]
    pub output_wait: Duration,
    /// Calls that a rate, a budget, a breaker or a limit rejected.
    pub refused: u64,
    /// Attempts that the service rejected because it is overloaded (429, 503, 529).
    pub overloaded: u64,
    /// Second copies of slow calls.
    pub hedges: u64,
    /// Orphaned work: it could not be dropped and is still alive.
    pub runaways: u64,
    /// Tokens and cost so far, including those of failed attempts.
    pub usage: Usage,
    /// The state of each step, in the order of the flow.
    pub steps: Vec<StepNow>,
    /// The positions of the oldest records in flight, at most eight, the oldest first.
    pub oldest: Vec<InStep>,
}

/// The total amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Total {
    /// Bytes of input.
    #[serde(rename = "total_bytes")]
    Bytes(u64),
    /// Records.
    #[serde(rename = "total_records")]
    Records(u64),
}

/// A step at one moment. A call is counted in exactly one of `running`, `queued`, `paced`, `backing_off` and
/// `retrying`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StepNow {
    /// The path of the step.
    pub path: String,
    /// The maximum of concurrent calls; `None` if it is not known yet, or if there is no limit.
    pub limit: Option<usize>,
    /// Calls that run their first attempt.
    pub running: u64,
    /// Calls that wait for a permit of a limit.
    pub queued: u64,
    /// Calls that wait for a rate or a budget.
    pub paced: u64,
    /// Calls that wait for their next attempt.
    pub backing_off: u64,
    /// Calls that run a second or later attempt.
    pub retrying: u64,
    /// The time until the first of the waiting attempts begins.
    #[serde(rename = "next_attempt_ms", serialize_with = "some_millis")]
    pub next_attempt: Option<Duration>,
    /// Calls that returned a value.
    pub done: u64,
    /// Calls that returned an error.
    pub failed: u64,
    /// Calls that were dropped before their end: timed out, or lost a race.
    pub cancelled: u64,
    /// Further attempts so far.
    pub retries: u64,
    /// The median duration of finished calls, including waits.
    #[serde(rename = "p50_ms", serialize_with = "some_millis")]
    pub p50: Option<Duration>,
    /// The 95th percentile of the same.
    #[serde(rename = "p95_ms", serialize_with = "some_millis")]
    pub p95: Option<Duration>,
}

/// The position of one record.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct InStep {
    /// The index of the record, from 0.
    pub record: Option<usize>,
    /// The step that the record is in.
    pub path: String,
    /// The time in that step.
    #[serde(rename = "time_ms", serialize_with = "millis")]
    pub time: Duration,
    /// The number of the attempt that runs or waits, from 1.
    pub attempt: u32,
    /// The reason for waiting, if it waits.
    pub waiting: Option<Waiting>,
}

/// The reason why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// The call waits in a queue.
    InLine {
        /// The kind of the queue.
        queue: WaitKind,
        /// The time so far.
        #[serde(rename = "time_ms", serialize_with = "millis")]
        time: Duration,
    },
    /// The call waits for its next attempt.
    Attempt {
        /// The time until that attempt.
        #[serde(rename = "in_ms", serialize_with = "millis")]
        after: Duration,
    },
}

impl Snapshot {
    /// Returns the number of finished records.
    pub fn done(&self) -> u64 {
        self.ok + self.failed
    }

    /// Returns the finished share of the total, from 0 to 1; `None` if the total is not known.
    pub fn share(&self) -> Option<f64> {
        let total = match self.total? {
            Total::Bytes(total) | Total::Records(total) => total,
        };
        Some(if total == 0 { 1.0 } else { (self.amount_done() as f64 / total as f64).min(1.0) })
    }

    /// Returns the number of calls that run or wait for a second or later attempt.
    pub fn retrying(&self) -> u64 {
        self.steps.iter().map(|step| step.retrying + step.backing_off).sum()
    }

    /// Returns the finished amount, in the unit of the total.
    pub(super) fn amount_done(&self) -> u64 {
        match self.total {
            Some(Total::Records(_)) => self.done(),
            _ => self.bytes_done,
        }
    }

    pub(super) fn amount_left(&self) -> Option<u64> {
        let (Total::Bytes(total) | Total::Records(total)) = self.total?;
        Some(total.saturating_sub(self.amount_done()))
    }
}

/// Whole microseconds: more digits would be noise.
fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1e3)
}

fn some_millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => millis(time, serializer),
        None => serializer.serialize_none(),
    }
}
