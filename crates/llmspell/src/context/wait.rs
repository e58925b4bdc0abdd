//! Waits of a call in a queue, bounded by its deadline and by cancellation.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::timing::after;

/// How long after its deadline a call leaves the queue. A timeout around the call ends it at the deadline, with
/// a message of its own. Only a deadline that no timeout enforces ends here.
const DEADLINE_SLACK: Duration = Duration::from_millis(1);

impl Context {
    /// Waits for `turn`, unless this work is cancelled or `deadline` passes first.
    ///
    /// The future that watches for both is created when the call first has to wait. It is boxed apart, so that
    /// calls that do not wait stay small.
    pub(crate) async fn wait_or_cancelled<F: Future>(&self, deadline: Option<Instant>, turn: F) -> Result<F::Output> {
        let mut turn = pin!(turn);
        let mut end: Option<Pin<Box<dyn Future<Output = Error> + Send>>> = None;
        poll_fn(|task| {
            if let Poll::Ready(output) = turn.as_mut().poll(task) {
                return Poll::Ready(Ok(output));
            }
            if !self.has_signals() && deadline.is_none() {
                return Poll::Pending;
            }
            end.get_or_insert_with(|| Box::pin(self.interrupted(deadline))).as_mut().poll(task).map(Err)
        })
        .await
    }

    /// Completes once this work is cancelled or past `deadline`, with the error.
    fn interrupted(&self, deadline: Option<Instant>) -> impl Future<Output = Error> + Send + 'static {
        let mut cancelled = self.has_signals().then(|| Box::pin(self.signalled()));
        // Unconstrained, because the task may have used up its cooperative budget; that must stop neither.
        let mut timer = deadline.map(|deadline| Box::pin(sleep_until(after(deadline, DEADLINE_SLACK))));
        tokio::task::coop::unconstrained(poll_fn(move |task| {
            if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(task).is_ready()) {
                let error = Error::new(ErrorKind::Cancelled, "cancelled before it started");
                return Poll::Ready(error.not_started());
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(task).map(|()| Context::deadline_error()),
                None => Poll::Pending,
            }
        }))
    }
}
