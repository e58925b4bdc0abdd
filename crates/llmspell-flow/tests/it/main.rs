//! The tests of the language, in one program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod agents;
mod check;
mod docs;
mod estimates;
mod flow;
mod fuzz;
mod kinds;
mod plan;
mod schema;
mod warnings;
