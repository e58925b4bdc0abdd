//! Runs of LLMSpell flows: records in, rows out, nothing lost.
//!
//! A [`Run`] maps a [`Flow`](llmspell_flow::Flow) over the records of an [`Input`], and writes one line for each to an
//! [`Output`]. Its [`Journal`] keeps what was done, so that a run which was killed goes on where it was. [`Progress`]
//! tells how far it is, and the [`Account`] what it came to.
//!
//! This crate prints nothing, and knows nothing of terminals.

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
