//! Text for people: what commands print, and how.
//!
//! This module formats and prints. It must not run a flow, and it imports no command.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod live;
pub(crate) mod panics;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod tools;
pub(crate) mod usage;
