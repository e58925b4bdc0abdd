//! The yield policy of workers: how many jobs a worker runs before it lets other tasks run.
//!
//! tokio runs a task that was woken by another one on the same thread, after it, and no other thread can take it over.
//! A worker that delivers an output wakes the owner. If the worker then began a job that computes for a long time, the
//! owner would wait behind it, and nothing new would be admitted. So workers start carefully: they run one job, then
//! yield. Once jobs have proved to be short, a worker runs several without a break, which halves the cost of work that
//! is ready at once. One in eight of them is still timed.

use std::time::Duration;

use tokio::time::Instant;

/// A job that runs for longer than this without a break is long: a few times what it costs to move a task to another
/// thread.
#[cfg_attr(shuttle, expect(dead_code, reason = "a random choice decides"))]
const LONG_JOB: Duration = Duration::from_micros(100);

/// Consecutive short jobs after which a pool takes its jobs for short.
const SHORT_JOBS_NEEDED: u32 = if cfg!(shuttle) { 2 } else { 8 };

/// Short jobs that a worker runs without a break.
const MAX_JOBS_BEFORE_YIELD: u8 = if cfg!(shuttle) { 2 } else { 16 };

/// While jobs are short, one in this many is timed.
const TIMED_EVERY: u8 = if cfg!(shuttle) { 2 } else { 8 };

/// An estimate of whether the jobs of a pool are short.
#[derive(Default)]
pub(super) struct JobLengthEstimate {
    consecutive_short: u32,
}

impl JobLengthEstimate {
    pub(super) fn record(&mut self, budget: &mut YieldBudget) {
        match budget.was_long.take() {
            Some(true) => self.consecutive_short = 0,
            Some(false) => self.consecutive_short = self.consecutive_short.saturating_add(1),
            None => {}
        }
    }

    /// Whether jobs have proved to be short.
    pub(super) fn are_short(&self) -> bool {
        self.consecutive_short >= SHORT_JOBS_NEEDED
    }
}

/// The jobs that one worker has run since it last yielded.
#[derive(Default)]
pub(super) struct YieldBudget {
    jobs_since_yield: u8,
    jobs_since_timed: u8,
    /// When the running job started, if it is timed.
    timer: Option<Instant>,
    was_long: Option<bool>,
}

impl YieldBudget {
    /// Notes that a job starts.
    pub(super) fn start_job(&mut self, jobs_are_short: bool) {
        self.jobs_since_yield = self.jobs_since_yield.saturating_add(1);
        self.jobs_since_timed += 1;
        if !jobs_are_short || self.jobs_since_timed >= TIMED_EVERY {
            self.jobs_since_timed = 0;
            self.timer = Some(Instant::now());
        }
    }

    /// Notes that the job has ended, or waits for something: either way it computes no more.
    pub(super) fn stop_timer(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.was_long = Some(is_long(timer));
        }
    }

    /// Notes that the worker yields, for whatever reason.
    pub(super) fn yielded(&mut self) {
        self.stop_timer();
        self.jobs_since_yield = 0;
    }

    /// Whether the worker should yield before it starts another short job.
    pub(super) fn is_used_up(&self) -> bool {
        self.jobs_since_yield >= MAX_JOBS_BEFORE_YIELD
    }
}

#[cfg(not(shuttle))]
fn is_long(started: Instant) -> bool {
    started.elapsed() > LONG_JOB
}

/// A random choice, so that a schedule can be replayed.
#[cfg(shuttle)]
fn is_long(_: Instant) -> bool {
    shuttle::rand::Rng::gen_ratio(&mut shuttle::rand::thread_rng(), 1, 4)
}
