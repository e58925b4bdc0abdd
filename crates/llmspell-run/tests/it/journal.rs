//! Journals: what was done stays done, and the output is exact, whatever happened before.

mod changes;
mod control;
mod kill;
mod resume;
mod trouble;
mod world;
