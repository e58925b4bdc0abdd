//! The journal of a run: finished work is never lost or repeated.
//!
//! One SQLite file per run, `.llmspell/runs/NAME.db`, written by one thread. A step's output is on disk before any
//! later step uses it, and a record's outcome is on disk before its line is written. So a run that is killed and
//! [resumed](Journals::open) repeats at most the work that was in flight. Only a flow of pure computation does not
//! wait for the disk, because repeating it costs nothing. docs/journal.md explains the tables. This module must not
//! import `run`.

mod claims;
mod command;
mod fault;
mod folder;
mod info;
mod journals;
mod keys;
mod matching;
mod memo;
mod result_meta;
mod resume_plan;
mod retention;
mod retry_filter;
mod rows;
mod schema;
mod store;
mod write_command;
mod writer;

pub(crate) use info::label;
pub use info::{RunCounts, RunInfo, RunRecord};
pub use journals::Journals;
pub(crate) use keys::keys_of;
pub(crate) use matching::{FinishedRecord, Match, MatchStats, RecordMatcher, RetryRecord};
pub(crate) use memo::StepCache;
pub(crate) use result_meta::ResultMeta;
pub use resume_plan::{RedoReason, ResumePlan};
pub use retention::Retention;
pub use retry_filter::RetryFilter;
pub use store::Journal;
pub(crate) use store::JournalSession;
pub(crate) use write_command::{RecordId, RecordResult, SessionEnd, Status};
pub(crate) use writer::{JournalWriter, WriterThread};
