//! Shared parts of both sets of peers: rows of results, and queries to the servers.

mod look;
mod rows;
pub mod tasks;

pub use look::{idle, last_work, when_idle};
pub use rows::{Checks, ensure};
