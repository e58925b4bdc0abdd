//! What is observed of a run: events, the recorder that keeps them, the report they add up to, outcomes and usage.
//!
//! These modules hold facts. They must not decide anything about how steps run.

pub(crate) mod event;
pub(crate) mod outcome;
pub(crate) mod recorder;
pub(crate) mod report;
pub(crate) mod usage;
