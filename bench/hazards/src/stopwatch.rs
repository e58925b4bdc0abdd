//! Clocks that stop while the machine runs other programs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Returns the CPU time of the process, in which nothing else runs.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A stopwatch for work that never waits.
pub struct Stopwatch {
    cpu: Duration,
    began: Instant,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { cpu: cpu_time(), began: Instant::now() }
    }

    /// Returns the CPU time of all threads, and at most the wall time, because two threads may be at work.
    pub fn elapsed(&self) -> Duration {
        (cpu_time() - self.cpu).min(self.began.elapsed())
    }
}
