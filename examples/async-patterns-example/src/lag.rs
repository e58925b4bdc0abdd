//! The delay of the machine: how late it wakes a task that does nothing except sleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const BEAT: Duration = Duration::from_millis(2);

/// The lateness of a timer on an idle machine.
const GRANULARITY: Duration = Duration::from_millis(2);

static LONGEST_MICROS: AtomicU64 = AtomicU64::new(0);

/// Measures until it is dropped.
pub async fn watch() {
    loop {
        let due = Instant::now() + BEAT;
        sleep_until(due).await;
        let late = due.elapsed().saturating_sub(GRANULARITY);
        LONGEST_MICROS.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Returns the longest delay since the program began. A busy machine must not break a claim about the library.
pub fn longest() -> Duration {
    Duration::from_micros(LONGEST_MICROS.load(Ordering::Relaxed))
}
