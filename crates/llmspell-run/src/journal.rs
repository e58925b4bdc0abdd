//! The journal of a run: what was done stays done, whatever happens.
//!
//! One SQLite file a run, `.llmspell/runs/NAME.db`, written by one thread. What a step gave to a record is on the disk
//! before anything is made of it, and what came of the record before its line goes out; so a run that is killed, and
//! [resumed](Journals::open), repeats at most what was in flight. Only a flow that merely computes does not wait for the
//! disk: to compute again costs nothing. docs/journal.md explains the tables.

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
