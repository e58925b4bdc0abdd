//! Deadlines: all of their arithmetic.
//!
//! A deadline is a point in time that only tightens on the way down: from the run to the record, the step and
//! the attempt. Whoever plans ahead, a wait before a retry or a second copy, asks whether the plan fits.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::executor::after;

/// The time that work has; see [`Context::stretch`].
pub(crate) struct TimeLimit {
    from: Instant,
    pub(crate) until: Instant,
    /// Whether it ends with that of a step further out.
    is_outer: bool,
}

impl TimeLimit {
    /// Whether the time was up before it began.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.until <= self.from
    }
}

impl Context {
    /// When this work must be done, if there is a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How much time is left; `None` without a deadline, zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// This context with a deadline. One that is later than the deadline it has changes nothing.
    ///
    /// Steps see it, retries and hedges plan with it; to have it enforced from outside, use
    /// [`Step::deadline`](crate::Step::deadline).
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let earliest = self.deadline.map_or(deadline, |known| known.min(deadline));
        self.with_exact_deadline(earliest)
    }

    #[inline(always)]
    fn with_exact_deadline(&self, deadline: Instant) -> Self {
        Context { node: self.node.clone(), deadline: Some(deadline), attempt: self.attempt }
    }

    /// This context with the deadline of a [`Context::stretch`] of it.
    #[inline(always)]
    pub(crate) fn within(&self, stretch: &TimeLimit) -> Self {
        self.with_exact_deadline(stretch.until)
    }

    /// Whether a plan that begins `wait` from now leaves any time before the deadline.
    pub(crate) fn fits(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| after(Instant::now(), wait) < deadline)
    }

    pub(crate) fn is_past_deadline(&self) -> bool {
        !self.fits(Duration::ZERO)
    }

    /// Fails if the time is already up, before any work is spent.
    pub(crate) fn check_deadline(&self) -> Result<()> {
        if self.is_past_deadline() { Err(Context::too_late()) } else { Ok(()) }
    }

    pub(super) fn too_late() -> Error {
        Error::new(ErrorKind::Timeout, "the deadline had passed before the step began").not_started()
    }

    /// A stretch of `time` from now, or of what is left if that is less, for work to run in.
    #[inline]
    pub(crate) fn stretch(&self, time: Duration) -> TimeLimit {
        let from = Instant::now();
        let own = after(from, time);
        let outer = self.deadline.filter(|outer| *outer < own);
        TimeLimit { from, until: outer.unwrap_or(own), is_outer: outer.is_some() }
    }

    /// The error of work that has not ended within its time.
    #[cold]
    pub(crate) fn timed_out(&self, stretch: &TimeLimit) -> Error {
        let after = stretch.until.saturating_duration_since(stretch.from);
        self.fact(|| EventKind::TimedOut { after });
        let message = if stretch.is_outer {
            "stopped by the deadline of a step around it".to_owned()
        } else {
            format!("timed out after {}", display::duration(after))
        };
        Error::new(ErrorKind::Timeout, message).at(|| self.path())
    }
}
