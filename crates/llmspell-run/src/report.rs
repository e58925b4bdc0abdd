//! The report of a run for people: counts, times, failures grouped by cause, and advice.

mod advice;
mod failures;
mod run_report;

pub(crate) use advice::advise;
pub use failures::{FailureGroup, Failures};
pub use run_report::{Advice, FailureCount, RunReport};
