//! A run at one moment.

use std::time::Duration;

use llmspell::{Usage, WaitKind};
use serde::{Serialize, Serializer};

/// A run at one moment; made by [`Progress::snapshot`](crate::Progress::snapshot).
///
/// Serialises to JSON, with times in milliseconds; the fields are those of `--progress json`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Since the run began.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
    /// How much there is to do, if it is known.
    #[serde(flatten)]
    pub total: Option<Total>,
    /// How much of the input is done with.
    pub bytes_done: u64,
    /// Records with an output.
    pub ok: u64,
    /// Those of them whose output is less than what was asked for.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all that are done: taken over from an earlier session instead of run.
    pub replayed: u64,
    /// Records on their way through the flow.
    pub in_flight: usize,
    /// Whether no more records are taken.
    pub stopping: bool,
    /// Whether no records are taken until somebody asks the run to go on.
    pub paused: bool,
    /// Records run in a second, over the last five.
    pub rate: f64,
    /// When the run will be done at this pace; `None` as long as nobody can tell.
    #[serde(rename = "eta_ms", serialize_with = "some_millis")]
    pub eta: Option<Duration>,
    /// How long outcomes were there and the output took none.
    #[serde(rename = "output_wait_ms", serialize_with = "millis")]
    pub output_wait: Duration,
    /// Calls that a rate, a budget, a breaker or a limit has refused.
    pub refused: u64,
    /// Attempts that the other side has refused because it is overloaded (429, 503, 529).
    pub overloaded: u64,
    /// Second copies of slow calls.
    pub hedges: u64,
    /// Work that could not be dropped and is still alive.
    pub runaways: u64,
    /// Tokens and cost so far; those of failed attempts included.
    pub usage: Usage,
    /// What is going on in each step, in the order of the flow.
    pub steps: Vec<StepNow>,
    /// Where the oldest records in flight are, at most eight, the oldest first.
    pub oldest: Vec<InStep>,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Total {
    /// So many bytes of input.
    #[serde(rename = "total_bytes")]
    Bytes(u64),
    /// So many records.
    #[serde(rename = "total_records")]
    Records(u64),
}

/// One step at one moment. A call is counted in exactly one of `running`, `queued`, `paced`, `backing_off` and
/// `retrying`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StepNow {
    /// Its path.
    pub path: String,
    /// How many may run at once; `None` as long as that is not known, or if there is no limit.
    pub limit: Option<usize>,
    /// Calls at work on their first attempt.
    pub running: u64,
    /// Calls that wait for a permit of a limit.
    pub queued: u64,
    /// Calls that wait for a turn at a rate, or for a budget.
    pub paced: u64,
    /// Calls that wait for their next attempt.
    pub backing_off: u64,
    /// Calls at work on a second or later attempt.
    pub retrying: u64,
    /// When the next attempt of those that wait for one begins.
    #[serde(rename = "next_attempt_ms", serialize_with = "some_millis")]
    pub next_attempt: Option<Duration>,
    /// Calls that gave a value.
    pub done: u64,
    /// Calls that gave an error.
    pub failed: u64,
    /// Calls that were dropped before their end: out of time, or the loser of a race.
    pub cancelled: u64,
    /// Further attempts so far.
    pub retries: u64,
    /// The median of the time of calls that came to an end, waiting included.
    #[serde(rename = "p50_ms", serialize_with = "some_millis")]
    pub p50: Option<Duration>,
    /// The 95th percentile of the same.
    #[serde(rename = "p95_ms", serialize_with = "some_millis")]
    pub p95: Option<Duration>,
}

/// Where one record is.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct InStep {
    /// The index of the record, from 0.
    pub record: Option<usize>,
    /// The step that it is in.
    pub path: String,
    /// For how long.
    #[serde(rename = "time_ms", serialize_with = "millis")]
    pub time: Duration,
    /// The attempt it is at, or waits for, from 1.
    pub attempt: u32,
    /// What it waits for, if it is not at work.
    pub waiting: Option<Waiting>,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// It stands in this line.
    InLine {
        /// Which one.
        queue: WaitKind,
        /// For how long so far.
        #[serde(rename = "time_ms", serialize_with = "millis")]
        time: Duration,
    },
    /// For its next attempt.
    Attempt {
        /// How long that is off.
        #[serde(rename = "in_ms", serialize_with = "millis")]
        after: Duration,
    },
}

impl Snapshot {
    /// Records that are done, one way or the other.
    pub fn done(&self) -> u64 {
        self.ok + self.failed
    }

    /// The share of the whole that is done, from 0 to 1; `None` if nobody knows how much there is.
    pub fn share(&self) -> Option<f64> {
        let total = match self.total? {
            Total::Bytes(total) | Total::Records(total) => total,
        };
        Some(if total == 0 { 1.0 } else { (self.amount_done() as f64 / total as f64).min(1.0) })
    }

    /// Calls that are at a second or later attempt, or wait for it.
    pub fn retrying(&self) -> u64 {
        self.steps.iter().map(|step| step.retrying + step.backing_off).sum()
    }

    /// In the unit of the whole.
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
