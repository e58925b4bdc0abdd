//! Time as it passes for a plain task: what the machine holds up is not held against the library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::probe::ms;

/// The time between two beats.
const BEAT: Duration = ms(2);

/// What a beat may be late by on a machine that is idle: the granularity of timers.
const LATE: Duration = ms(1);

/// Something that beats as long as it gets its turn.
#[derive(Clone, Default)]
pub struct Heart(Arc<Mutex<Beats>>);

#[derive(Default)]
struct Beats {
    last: Option<Instant>,
    longest: Duration,
}

impl Heart {
    /// One beat. The first one sets the clock going.
    pub fn tick(&self) {
        let now = Instant::now();
        let mut beats = self.0.lock().unwrap();
        if let Some(last) = beats.last.replace(now) {
            beats.longest = beats.longest.max(now - last);
        }
    }

    /// Beats for some time.
    pub async fn beat_for(&self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            self.tick();
            sleep(BEAT).await;
        }
        self.tick();
        self.0.lock().unwrap().last = None;
    }

    /// The longest time without a beat, one that has not ended yet included.
    pub fn longest_gap(&self) -> Duration {
        let beats = self.0.lock().unwrap();
        let open = beats.last.map_or(Duration::ZERO, |last| last.elapsed());
        beats.longest.max(open)
    }
}

/// Tasks beside the work that do nothing but beat.
struct Control {
    hearts: Vec<Heart>,
    tasks: JoinSet<()>,
}

impl Control {
    fn start() -> Self {
        let hearts: Vec<Heart> = std::iter::repeat_with(Heart::default).take(4).collect();
        let mut tasks = JoinSet::new();
        for heart in hearts.clone() {
            tasks.spawn(async move { heart.beat_for(Duration::MAX).await });
        }
        Control { hearts, tasks }
    }

    /// Ends, and says for how long a task of this runtime has been kept from its turn.
    async fn stop(mut self) -> Duration {
        let gap = self.hearts.iter().map(Heart::longest_gap).max().unwrap_or_default();
        self.tasks.shutdown().await;
        gap.saturating_sub(BEAT + LATE)
    }
}

/// Measures until the figure is within `bound` beyond what the machine has held up, five times at most: a hazard shows
/// every time, the mood of a machine does not.
///
/// # Panics
/// If it never is.
pub async fn at_most<F>(bound: Duration, what: &str, measure: impl Fn() -> F)
where
    F: Future<Output = Duration>,
{
    let mut seen = Vec::new();
    for _ in 0..5 {
        let control = Control::start();
        let figure = measure().await;
        let stall = control.stop().await;
        if figure.saturating_sub(stall) <= bound {
            return;
        }
        seen.push((figure, stall));
    }
    panic!("{what}: more than {bound:?} beyond what the machine held up: {seen:?}");
}

/// The CPU time that this thread has used.
pub fn cpu_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// A clock for work that never waits: it stands still while the machine does something else.
#[derive(Clone, Copy)]
pub enum Stopwatch {
    /// Where everything happens on one thread, its CPU time.
    OneThread(Duration),
    /// Otherwise the CPU time of the process, in which there may be other tests; but never more than has passed.
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

/// Waits for what is bound to come, however busy the machine is.
pub async fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < ms(20_000), "it does not come");
        sleep(ms(1)).await;
    }
}

/// How many tasks of this runtime are alive.
pub fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
