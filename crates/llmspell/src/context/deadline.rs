//! Deadlines and their arithmetic.
//!
//! A deadline is a point in time that can only become earlier on the way down: from the run to the record, the
//! step and the attempt. A plan for later, such as a wait before a retry or a second copy, first checks that it
//! fits.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::timing::after;

/// The time limit of work; see [`Context::time_limit`].
pub(crate) struct TimeLimit {
    from: Instant,
    pub(crate) until: Instant,
    /// Whether the limit is the earlier deadline of a step further out.
    is_outer: bool,
}

impl TimeLimit {
    /// Returns whether the limit had already passed at its start.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.until <= self.from
    }
}

impl Context {
    /// Returns the deadline of this work, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the time left: `None` without a deadline, zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns this context with a deadline. A later deadline than the present one changes nothing.
    ///
    /// Steps can read the deadline, and retries and hedges plan with it. To enforce it from outside, use
    /// [`Step::deadline`](crate::Step::deadline).
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let earliest = self.deadline.map_or(deadline, |present| present.min(deadline));
        self.with_exact_deadline(earliest)
    }

    #[inline(always)]
    fn with_exact_deadline(&self, deadline: Instant) -> Self {
        Context { node: self.node.clone(), deadline: Some(deadline), attempt: self.attempt }
    }

    /// Returns this context with the deadline of a [`Context::time_limit`].
    #[inline(always)]
    pub(crate) fn within(&self, limit: &TimeLimit) -> Self {
        self.with_exact_deadline(limit.until)
    }

    /// Returns whether a plan that begins `wait` from now starts before the deadline.
    pub(crate) fn fits(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| after(Instant::now(), wait) < deadline)
    }

    pub(crate) fn is_past_deadline(&self) -> bool {
        !self.fits(Duration::ZERO)
    }

    /// Fails if the deadline has already passed, before any work starts.
    pub(crate) fn check_deadline(&self) -> Result<()> {
        if self.is_past_deadline() { Err(Context::deadline_error()) } else { Ok(()) }
    }

    pub(super) fn deadline_error() -> Error {
        Error::new(ErrorKind::Timeout, "the deadline had passed before the step began").not_started()
    }

    /// Returns a limit of `time` from now, or of the time left if that is less.
    #[inline]
    pub(crate) fn time_limit(&self, time: Duration) -> TimeLimit {
        let from = Instant::now();
        let own = after(from, time);
        let outer = self.deadline.filter(|outer| *outer < own);
        TimeLimit { from, until: outer.unwrap_or(own), is_outer: outer.is_some() }
    }

    /// Records a timeout and returns its error.
    #[cold]
    pub(crate) fn timeout_error(&self, limit: &TimeLimit) -> Error {
        let after = limit.until.saturating_duration_since(limit.from);
        self.record_event(|| EventKind::TimedOut { after });
        let message = if limit.is_outer {
            "cancelled by the deadline of an outer step".to_owned()
        } else {
            format!("timed out after {}", display::duration(after))
        };
        Error::new(ErrorKind::Timeout, message).at(|| self.path())
    }
}
