//! The tests of runs, in one program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod journal;
mod run;
mod survey;
