//! The report of a run: shown at its end, kept in its journal, and shown again later.

use std::time::Duration;

use llmspell::ErrorKind;
use llmspell::observe::Report;
use serde::{Deserialize, Serialize};

use super::failures::Failures;

/// The report of a run: counts, failures, times, and advice.
///
/// Serialises to JSON, with times in milliseconds, and can be parsed back; the fields of the [`Report`] stand beside
/// its own. The [`Report`] is empty unless the run was [recorded](llmspell::Context::recording).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunReport {
    /// The name of the flow.
    pub flow: String,
    /// How the run ended, such as `complete`.
    pub ending: String,
    /// The time from start to end.
    #[serde(rename = "took_ms", with = "ms")]
    pub took: Duration,
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is partial or a substitute; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all these, records whose outcome was restored from an earlier session; the others ran.
    pub replayed: u64,
    /// Records that were in flight when the run was stopped: the steps count their calls, but they have no line.
    pub dropped: u64,
    /// Records that were not read, if all of them were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// How long outcomes waited for the output.
    #[serde(rename = "output_wait_ms", with = "ms")]
    pub output_wait: Duration,
    /// The failures by step and kind, in the order of the first failures.
    pub failures: Vec<FailureCount>,
    /// Failures beyond the groups.
    pub other_failures: u64,
    /// Likely problems, and remedies.
    #[serde(rename = "lints")]
    pub advice: Vec<Advice>,
    /// The times of the steps.
    #[serde(flatten)]
    pub report: Report,
}

/// A likely problem of a run, and a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Advice {
    /// The rule: `limit_full`, `hedge_never_won`, `timeout_too_short`, `output_slow`, `overloaded` or
    /// `mostly_degraded`.
    pub kind: String,
    /// The step, without the name of the flow; empty if the advice is about the run.
    pub step: String,
    /// The observation.
    pub message: String,
    /// The remedy.
    pub hint: String,
}

/// Failures of one kind at one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureCount {
    /// The path of the step; empty if the record itself was invalid.
    pub path: String,
    /// The kind of the errors.
    pub kind: ErrorKind,
    /// The number of attempts of the first failure.
    #[serde(default = "once")]
    pub attempts: u32,
    /// The number of failures.
    pub count: u64,
    /// The line of the first failure in the input, from 1.
    pub first_line: u64,
    /// The message of the first failure.
    pub message: String,
    /// The remedy, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

fn once() -> u32 {
    1
}

impl RunReport {
    /// Returns the report of a run of the flow with this name, as far as it was recorded.
    pub(crate) fn of(flow: &str, report: Report) -> Self {
        RunReport { flow: flow.to_owned(), report, ..RunReport::default() }
    }

    /// Adds the failures.
    pub(crate) fn with_failures(mut self, failures: &Failures) -> Self {
        let counted = failures.groups().iter().map(|group| FailureCount {
            path: group.path.clone(),
            kind: group.kind,
            attempts: group.attempts,
            count: group.count,
            first_line: group.first_line,
            message: group.first.message().to_owned(),
            hint: group.first.hint().map(str::to_owned),
        });
        self.failures = counted.collect();
        self.other_failures = failures.others();
        self
    }

    /// Returns the name of a step as users give it: its path without the name of the flow.
    pub fn within<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.flow.as_str()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path)
    }
}

/// Durations as fractional milliseconds.
mod ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_micros() as f64 / 1e3)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let ms = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(ms / 1e3).map_err(serde::de::Error::custom)
    }
}
