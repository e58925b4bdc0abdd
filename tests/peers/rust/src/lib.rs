//! Shared by both sets of peers: a report of trials, and probes of the servers.

mod report;
mod slots;
pub mod tasks;

pub use report::{TrialReport, ensure};
pub use slots::{idle, last_task, when_idle};
