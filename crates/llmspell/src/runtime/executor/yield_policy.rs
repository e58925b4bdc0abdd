//! How long the jobs of a crew take, and so how careful its workers must be.
//!
//! tokio runs a task that was woken by another one on the same thread, after it, and no other thread can
//! take it over. A worker that delivers an output wakes the owner; if it then began a job that computes for
//! long, the owner would sit behind it, and nothing new would be admitted. So workers begin with care: one
//! job, then others have their turn. Once jobs have proved to be short, several are done in one go, which
//! halves the cost of work that is ready at once; and one of eight is still timed.

use std::time::Duration;

use tokio::time::Instant;

/// A job that works for longer than this without a break is long: a few times what it costs to move a task to
/// another thread.
#[cfg_attr(shuttle, expect(dead_code, reason = "chance decides"))]
const LONG: Duration = Duration::from_micros(100);

/// Short jobs in a row after which a crew trusts its jobs.
const TRUST: u32 = if cfg!(shuttle) { 2 } else { 8 };

/// Jobs that a worker does in one go once they are trusted.
const BURST: u8 = if cfg!(shuttle) { 2 } else { 16 };

/// How many trusted jobs there are to one that is timed.
const TIMED: u8 = if cfg!(shuttle) { 2 } else { 8 };

/// What a crew knows of its jobs.
#[derive(Default)]
pub(super) struct JobLengthEstimate {
    short_in_a_row: u32,
}

impl JobLengthEstimate {
    pub(super) fn learn(&mut self, pace: &mut YieldBudget) {
        match pace.was_long.take() {
            Some(true) => self.short_in_a_row = 0,
            Some(false) => self.short_in_a_row = self.short_in_a_row.saturating_add(1),
            None => {}
        }
    }

    /// Whether jobs have proved to be short.
    pub(super) fn is_earned(&self) -> bool {
        self.short_in_a_row >= TRUST
    }
}

/// What one worker has done lately.
#[derive(Default)]
pub(super) struct YieldBudget {
    /// Jobs since the worker has last given way.
    in_one_go: u8,
    untimed: u8,
    clock: Option<Instant>,
    was_long: Option<bool>,
}

impl YieldBudget {
    /// A job begins.
    pub(super) fn begin(&mut self, trusted: bool) {
        self.in_one_go = self.in_one_go.saturating_add(1);
        self.untimed += 1;
        if !trusted || self.untimed >= TIMED {
            self.untimed = 0;
            self.clock = Some(Instant::now());
        }
    }

    /// The job has ended, or waits for something: either way it works no more.
    pub(super) fn end(&mut self) {
        if let Some(clock) = self.clock.take() {
            self.was_long = Some(is_long(clock));
        }
    }

    /// The worker gives way, whatever the reason.
    pub(super) fn give_way(&mut self) {
        self.end();
        self.in_one_go = 0;
    }

    /// Whether it should, before it begins another of its trusted jobs.
    pub(super) fn is_over(&self) -> bool {
        self.in_one_go >= BURST
    }
}

#[cfg(not(shuttle))]
fn is_long(begun: Instant) -> bool {
    begun.elapsed() > LONG
}

/// Chance decides, so that a schedule can be replayed.
#[cfg(shuttle)]
fn is_long(_: Instant) -> bool {
    shuttle::rand::Rng::gen_ratio(&mut shuttle::rand::thread_rng(), 1, 4)
}
