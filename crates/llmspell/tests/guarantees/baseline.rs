//! The delay that the machine itself causes, measured by plain tasks. It is not counted against the library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::probe::ms;

/// The time between two heartbeats.
const INTERVAL: Duration = ms(2);

/// The delay of a heartbeat on an idle machine: the resolution of timers.
const TIMER_RESOLUTION: Duration = ms(1);

/// Records the longest time between two heartbeats.
#[derive(Clone, Default)]
pub struct Heartbeat(Arc<Mutex<Gaps>>);

#[derive(Default)]
struct Gaps {
    last: Option<Instant>,
    longest: Duration,
}

impl Heartbeat {
    /// Records a heartbeat. The first one starts the clock.
    pub fn tick(&self) {
        let now = Instant::now();
        let mut gaps = self.0.lock().unwrap();
        if let Some(last) = gaps.last.replace(now) {
            gaps.longest = gaps.longest.max(now - last);
        }
    }

    /// Records heartbeats for some time.
    pub async fn beat_for(&self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            self.tick();
            sleep(INTERVAL).await;
        }
        self.tick();
        self.0.lock().unwrap().last = None;
    }

    /// Returns the longest time without a heartbeat, including one that has not ended yet.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.0.lock().unwrap();
        let open = gaps.last.map_or(Duration::ZERO, |last| last.elapsed());
        gaps.longest.max(open)
    }
}

/// Tasks beside the work that only record heartbeats.
struct Baseline {
    heartbeats: Vec<Heartbeat>,
    tasks: JoinSet<()>,
}

impl Baseline {
    fn start() -> Self {
        let heartbeats: Vec<Heartbeat> = std::iter::repeat_with(Heartbeat::default).take(4).collect();
        let mut tasks = JoinSet::new();
        for heartbeat in heartbeats.clone() {
            tasks.spawn(async move { heartbeat.beat_for(Duration::MAX).await });
        }
        Baseline { heartbeats, tasks }
    }

    /// Stops the tasks and returns the longest delay of a task of this runtime.
    async fn stop(mut self) -> Duration {
        let gap = self.heartbeats.iter().map(Heartbeat::longest_gap).max().unwrap_or_default();
        self.tasks.shutdown().await;
        gap.saturating_sub(INTERVAL + TIMER_RESOLUTION)
    }
}

/// Measures until the figure is within `bound` beyond the delay of the machine, at most five times. A hazard
/// shows every time, a busy machine does not.
///
/// # Panics
/// If no figure is within the bound.
pub async fn at_most<F>(bound: Duration, what: &str, measure: impl Fn() -> F)
where
    F: Future<Output = Duration>,
{
    let mut seen = Vec::new();
    for _ in 0..5 {
        let control = Baseline::start();
        let figure = measure().await;
        let stall = control.stop().await;
        if figure.saturating_sub(stall) <= bound {
            return;
        }
        seen.push((figure, stall));
    }
    panic!("{what}: more than {bound:?} beyond the delay of the machine (figure, delay): {seen:?}");
}

/// Returns the CPU time of this thread.
pub fn cpu_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// A clock for work that never waits. It stops while the machine runs something else.
#[derive(Clone, Copy)]
pub enum Stopwatch {
    /// On a single-threaded runtime: the CPU time of the thread.
    OneThread(Duration),
    /// Otherwise: the CPU time of the process, which may run other tests, but never more than the elapsed time.
    Threads(Duration, Instant),
}

impl Stopwatch {
    pub fn start() -> Self {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => Stopwatch::OneThread(cpu_time()),
            _ => Stopwatch::Threads(clock(ClockId::ProcessCPUTime), Instant::now()),
        }
    }

    pub fn elapsed(self) -> Duration {
        match self {
            Stopwatch::OneThread(start) => cpu_time() - start,
            Stopwatch::Threads(start, began) => (clock(ClockId::ProcessCPUTime) - start).min(began.elapsed()),
        }
    }
}

/// Waits until `holds` returns true, however busy the machine is.
pub async fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < ms(20_000), "the condition never holds");
        sleep(ms(1)).await;
    }
}

/// Returns the number of running tasks of this runtime.
pub fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
