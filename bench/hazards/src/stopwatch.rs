//! Clocks that stand still while the machine does something else.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The CPU time of the process: nothing else is going on in it.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A clock for work that never waits.
pub struct Stopwatch {
    cpu: Duration,
    began: Instant,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { cpu: cpu_time(), began: Instant::now() }
    }

    /// Returns the CPU time of all threads, but at most what has passed: two threads may be at work.
    pub fn elapsed(&self) -> Duration {
        (cpu_time() - self.cpu).min(self.began.elapsed())
    }
}
