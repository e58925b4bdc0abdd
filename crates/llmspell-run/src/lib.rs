//! Runs of LLMSpell flows: records in, rows out, nothing lost.
//!
//! A [`Run`] maps a [`Flow`](llmspell_flow::Flow) over the records of an [`Input`], and writes one line for each to an
//! [`Output`]. Its [`Journal`] records finished work, so that a killed run resumes where it stopped. [`Progress`] shows
//! how far a run is, and the [`RunReport`] sums it up.
//!
//! This crate must not print, and must not depend on terminals.

mod file_id;
mod input;
mod journal;
mod output;
mod progress;
mod report;
mod run;

pub use input::{Format, Input, survey};
pub use journal::{Journal, Journals, RedoReason, ResumePlan, Retention, RetryFilter, RunCounts, RunInfo, RunRecord};
pub use output::{OnError, Output, OutputStats};
pub use progress::{InStep, Progress, Snapshot, StepNow, Total, Waiting};
pub use report::{Advice, FailureCount, FailureGroup, Failures, RunReport};
pub use run::{Run, RunEnd, StopHandle, Summary, Unread};
