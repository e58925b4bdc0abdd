//! Journals: finished work is not repeated, and the output is exact, whatever happened before.

mod changes;
mod control;
mod kill;
mod resume;
mod trouble;
mod world;
