//! What a run came to, for readers: an account of where the time went, failures by their causes, and advice.

mod advice;
mod failures;
mod run_report;

pub use advice::Advice;
pub use failures::{FailureGroup, Failures};
pub use run_report::{FailureCount, RunReport};
