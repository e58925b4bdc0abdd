//! Journals: what was done stays done, and the output is exact, whatever happened before.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod changes;
mod control;
mod kill;
mod resume;
mod trouble;
mod world;
