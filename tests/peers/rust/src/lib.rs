//! What both sets of peers need: rows of what was tried, and a look at the servers from outside.

mod look;
mod rows;
pub mod tasks;

pub use look::{idle, last_work, when_idle};
pub use rows::{Rows, ensure};
