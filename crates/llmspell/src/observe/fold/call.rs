//! A call in progress.

use std::time::Duration;

use super::totals::StepTotals;
use crate::observe::event::{Event, WaitKind};

/// A call in progress. `X` is what the owner of the fold keeps for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LiveCall<X = ()> {
    /// The call inside which it was made; 0 is the root.
    pub parent: u64,
    /// The number of its step.
    pub step: usize,
    /// The index of the stream item or record that it belongs to.
    pub item: Option<usize>,
    /// When it started, as its event says.
    pub started: Duration,
    /// The attempt it is at, or waits for, from 1.
    pub attempt: u32,
    /// Its time in wait queues and between attempts so far.
    pub(crate) waited: Duration,
    /// Wait queues that it stands in: branches of one call may wait at once.
    waits: u32,
    /// The wait that began last.
    last_wait: CallWait,
    /// Whether `last_wait` has not been settled: when the call ends, it has waited since then.
    has_open_wait: bool,
    /// The wait for another attempt, until the next event shows that it is over.
    backoff: Option<Backoff>,
    /// When the next attempt begins, or began.
    next_attempt: Duration,
    /// Whether its attempts report their failures themselves.
    pub(super) reports_attempts: bool,
    /// Whether it has called a named step.
    pub(super) has_called: bool,
    /// Whether a second copy runs.
    pub(super) has_second_copy: bool,
    pub(crate) extra: X,
}

/// A wait in a queue: for what, for which step, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct CallWait {
    kind: WaitKind,
    step: usize,
    since: Duration,
}

/// A wait for another attempt: since when, and for how long it is planned.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    since: Duration,
    planned: Duration,
}

/// The state of a call at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallState {
    /// It works on its first attempt.
    Running,
    /// It works on a second or later attempt.
    Retrying,
    /// It stands in a wait queue.
    Queued {
        /// The resource that it waits for.
        queue: WaitKind,
        /// How long it has waited.
        time: Duration,
    },
    /// It waits for its next attempt.
    BackingOff {
        /// The time until then.
        after: Duration,
    },
}

impl<X: Default> LiveCall<X> {
    pub(super) fn new(event: &Event, step: usize) -> Self {
        LiveCall {
            parent: event.parent,
            step,
            item: event.item,
            started: event.at,
            attempt: 1,
            waited: Duration::ZERO,
            waits: 0,
            last_wait: CallWait::default(),
            has_open_wait: false,
            backoff: None,
            next_attempt: Duration::ZERO,
            reports_attempts: false,
            has_called: false,
            has_second_copy: false,
            extra: X::default(),
        }
    }
}

impl<X> LiveCall<X> {
    /// Returns what the call does at `now`, a time on the clock of the events.
    pub fn state(&self, now: Duration) -> CallState {
        if self.waits > 0 {
            let CallWait { kind, since, .. } = self.last_wait;
            CallState::Queued { queue: kind, time: now.saturating_sub(since) }
        } else if self.next_attempt > now {
            CallState::BackingOff { after: self.next_attempt - now }
        } else if self.attempt > 1 {
            CallState::Retrying
        } else {
            CallState::Running
        }
    }

    /// The call enters a wait queue. If several of its branches do, each reports when it is admitted; only the last
    /// wait is known if the call ends before that.
    pub(super) fn begin_wait(&mut self, kind: WaitKind, step: usize, at: Duration) {
        self.waits += 1;
        self.last_wait = CallWait { kind, step, since: at };
        self.has_open_wait = true;
    }

    /// The call leaves a wait queue after `waited`.
    pub(super) fn end_wait(&mut self, waited: Duration) {
        self.waits = self.waits.saturating_sub(1);
        self.has_open_wait = false;
        self.waited += waited;
    }

    /// Counts the wait that has not been settled, because the call was refused or ended in the queue.
    pub(super) fn end_open_wait(&mut self, at: Duration, steps: &mut [StepTotals]) {
        if std::mem::take(&mut self.has_open_wait) {
            let waited = at.saturating_sub(self.last_wait.since);
            self.waited += waited;
            steps[self.last_wait.step].waited += waited;
        }
    }

    pub(super) fn begin_backoff(&mut self, attempt: u32, planned: Duration, at: Duration) {
        self.attempt = attempt;
        self.next_attempt = at + planned;
        self.backoff = Some(Backoff { since: at, planned });
    }

    /// Counts the wait for another attempt, which the event at `at` shows to be over.
    pub(super) fn end_backoff(&mut self, at: Duration, steps: &mut [StepTotals]) {
        if let Some(Backoff { since, planned }) = self.backoff.take() {
            let waited = at.saturating_sub(since).min(planned);
            self.waited += waited;
            steps[self.step].waited += waited;
            steps[self.step].backed_off += waited;
        }
    }
}
