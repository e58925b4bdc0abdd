//! How long a call waits in line: until it has its place, or nobody wants it any more.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::executor::after;

/// How much later than a deadline its line is left. A timeout around the call ends it at the deadline, and says so
/// in its own words; what comes to its end here is a deadline that nobody else enforces.
const COURTESY: Duration = Duration::from_millis(1);

impl Context {
    /// Waits in line, unless this work is cancelled or `deadline` passes first.
    ///
    /// What it takes to hear of that is made once the call really has to wait, and is apart from the future, which
    /// those who need not wait carry with them as well.
    pub(crate) async fn wait_or_cancelled<F: Future>(&self, deadline: Option<Instant>, place: F) -> Result<F::Output> {
        let mut place = pin!(place);
        let mut end: Option<Pin<Box<dyn Future<Output = Error> + Send>>> = None;
        poll_fn(|task| {
            if let Poll::Ready(place) = place.as_mut().poll(task) {
                return Poll::Ready(Ok(place));
            }
            if !self.has_signals() && deadline.is_none() {
                return Poll::Pending;
            }
            end.get_or_insert_with(|| Box::pin(self.unwanted(deadline))).as_mut().poll(task).map(Err)
        })
        .await
    }

    /// Completes once nobody wants this work any more, with the reason.
    fn unwanted(&self, deadline: Option<Instant>) -> impl Future<Output = Error> + Send + 'static {
        let mut cancelled = self.has_signals().then(|| Box::pin(self.signalled()));
        // Tokio's share of time for this task may be used up; that must stop neither.
        let mut alarm = deadline.map(|deadline| Box::pin(sleep_until(after(deadline, COURTESY))));
        tokio::task::coop::unconstrained(poll_fn(move |task| {
            if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(task).is_ready()) {
                let error = Error::new(ErrorKind::Cancelled, "called off before it began");
                return Poll::Ready(error.not_started());
            }
            match &mut alarm {
                Some(alarm) => alarm.as_mut().poll(task).map(|()| Context::too_late()),
                None => Poll::Pending,
            }
        }))
    }
}
