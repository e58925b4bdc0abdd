//! Shared by the Rust programs of `bench/peers`: the sizes of the tasks, the durations of their steps, the counters of
//! running work, and the tables.
//!
//! The programs in Python and JavaScript have the same figures in `work.py` and `work.mjs`.

pub mod probe;
pub mod stages;
pub mod table;

use std::time::Duration;

/// The number of items of the map, each a step that does nothing.
pub const MAP_ITEMS: u64 = 100_000;
/// The most items in flight.
pub const MAP_LIMIT: usize = 1000;

/// The number of records in the pipeline.
pub const RECORDS: usize = 300;
/// The most records in one stage.
pub const STAGE_LIMIT: usize = 10;

/// The time limit of a call.
pub const TIMEOUT: Duration = Duration::from_millis(100);
/// The duration of a call, which ignores its time limit.
pub const UNCANCELLABLE_TIME: Duration = Duration::from_millis(600);
/// The number of attempts.
pub const ATTEMPTS: u32 = 3;
/// The number of concurrent calls that ignore their time limit.
pub const UNCANCELLABLE_CALLS: usize = 6;
/// The most such calls that may run at a time.
pub const UNCANCELLABLE_LIMIT: usize = 2;

/// The number of items for the slow consumer: more than any system can start meanwhile.
pub const SOURCE: usize = 5000;
/// The number of outcomes that the slow consumer takes.
pub const CONSUMED: usize = 100;
/// The most items in flight, for the slow consumer and for the first error.
pub const LIMIT: usize = 10;
/// Half the duration of an item, which waits twice.
pub const HALF_STEP: Duration = Duration::from_millis(5);
/// The time that the consumer spends on each outcome.
pub const CONSUMER: Duration = Duration::from_millis(20);

/// The number of items of which one fails.
pub const FALLIBLE: usize = 200;
/// The index of the item that fails, at its end.
pub const FAILS: usize = 5;
/// The duration of each of these items.
pub const FALLIBLE_STEP: Duration = Duration::from_millis(50);
/// The time after the error in which started items are counted.
pub const AFTERMATH: Duration = Duration::from_millis(500);

/// Returns a duration in milliseconds, rounded to a tenth.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
