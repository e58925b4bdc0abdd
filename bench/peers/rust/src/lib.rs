//! What the Rust programs of `bench/peers` share: the sizes of the tasks, the durations of their steps, what
//! the steps count about themselves, and the tables.
//!
//! The programs in Python and JavaScript have the same figures in `work.py` and `work.mjs`.

pub mod probe;
pub mod stages;
pub mod table;

use std::time::Duration;

/// Items of the map, each a step that does nothing.
pub const MAP_ITEMS: u64 = 100_000;
/// How many of them may be in flight.
pub const MAP_LIMIT: usize = 1000;

/// Records that go through the pipeline.
pub const RECORDS: usize = 300;
/// How many records may be in one stage.
pub const STAGE_LIMIT: usize = 10;

/// What a call is given.
pub const TIMEOUT: Duration = Duration::from_millis(100);
/// What it takes nevertheless.
pub const STUBBORN: Duration = Duration::from_millis(600);
/// How often the call is tried.
pub const ATTEMPTS: u32 = 3;
/// How many stubborn calls there are at once, and how many of them a limit lets in.
pub const STUBBORN_CALLS: usize = 6;
/// How many stubborn calls may run at once.
pub const STUBBORN_LIMIT: usize = 2;

/// Items for the slow consumer: more than any system can start meanwhile.
pub const SOURCE: usize = 5000;
/// How many outcomes it takes.
pub const CONSUMED: usize = 100;
/// How many items may be in flight, for the slow consumer and for the first error.
pub const LIMIT: usize = 10;
/// Each item waits for this twice.
pub const HALF_STEP: Duration = Duration::from_millis(5);
/// What the consumer does after each outcome takes this long.
pub const CONSUMER: Duration = Duration::from_millis(20);

/// Items of which one fails.
pub const FALLIBLE: usize = 200;
/// The one that fails, at its end.
pub const FAILS: usize = 5;
/// What each of them takes.
pub const FALLIBLE_STEP: Duration = Duration::from_millis(50);
/// How long started items are counted after the error.
pub const AFTERMATH: Duration = Duration::from_millis(500);

/// A duration in milliseconds, with a tenth.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
