//! Deadlines: all of their arithmetic.
//!
//! A deadline is a point in time that only tightens on the way down: from the run to the record, the step and
//! the attempt. Whoever plans ahead, a wait before a retry or a second copy, asks whether the plan fits.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Fact;
use crate::executor::{after, within};
use crate::human;

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
        Context { deadline: Some(earliest), ..self.clone() }
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
        if self.is_past_deadline() {
            Err(Error::new(Kind::Timeout, "the deadline had passed before the step began"))
        } else {
            Ok(())
        }
    }

    /// Runs work for at most `time`, or for what is left if that is less. The work sees its deadline.
    ///
    /// # Errors
    /// [`Kind::Timeout`], saying whose time was up; and whatever the work returns.
    pub(crate) async fn for_at_most<T, W>(&self, time: Duration, work: impl FnOnce(Context) -> W) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        let now = Instant::now();
        let own = after(now, time);
        let outer = self.deadline.filter(|outer| *outer < own);
        let deadline = outer.unwrap_or(own);
        if deadline <= now {
            return Err(self.timed_out(Duration::ZERO, outer.is_some()));
        }
        let cx = Context { deadline: Some(deadline), ..self.clone() };
        match within(deadline, work(cx)).await {
            Some(result) => result,
            None => Err(self.timed_out(deadline - now, outer.is_some())),
        }
    }

    fn timed_out(&self, after: Duration, outer: bool) -> Error {
        self.fact(|| Fact::TimedOut { after });
        let message = if outer {
            "stopped by the deadline of a step around it".to_owned()
        } else {
            format!("timed out after {}", human::duration(after))
        };
        Error::new(Kind::Timeout, message).at(|| self.path())
    }
}
