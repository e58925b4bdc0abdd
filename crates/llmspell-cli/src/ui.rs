//! Text for people on standard error and standard output.

pub(crate) mod live;
pub(crate) mod panics;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod usage;
