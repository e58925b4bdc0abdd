//! The journal of a run: what was done stays done, whatever happens.
//!
//! One SQLite file a run, `.llmspell/runs/NAME.db`, written by one thread. What a step gave to a record is on the disk
//! before anything is made of it, and what came of the record before its line goes out; so a run that is killed, and
//! [resumed](Journals::open), repeats at most what was in flight. docs/journal.md explains the tables.

mod command;
mod fault;
mod kept;
mod memory;
mod rows;
mod schema;
mod writer;

#[allow(unused_imports)]
pub(crate) use kept::Kept;
pub use memory::StepKey;
#[allow(unused_imports)]
pub(crate) use memory::{Memory, Past};
