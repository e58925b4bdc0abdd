//! Runs of flows: records in, rows out, nothing lost.

mod file_id;
mod input;
mod journal;
mod output;
mod progress;
mod report;
mod run;

pub use input::{Format, Input, survey};
pub use journal::{Again, Journal, Journals, Redo, Retention, RunCounts, RunInfo, RunStory, Why};
pub use output::{OnError, Output, Written};
pub use progress::{InStep, Progress, Snapshot, StepNow, Total, Waiting};
pub use report::{Account, FailureCount, FailureGroup, Failures, Lint};
pub use run::{Brake, Ending, NotAdmitted, Run, Summary};
