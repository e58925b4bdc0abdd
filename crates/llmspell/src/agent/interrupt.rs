//! Interruption of an agent's run: cancellation, and the deadline.
//!
//! [`unless_interrupted`] drops the work and keeps the run, so that finished turns are not lost.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::context::{Context, TimeLimit};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::executor::catch_panic;

/// The reason why a run ends without an answer.
pub(super) enum RunStop {
    Failed(Error),
    /// The deadline has passed, or the context was cancelled.
    Interrupted,
}

impl From<Error> for RunStop {
    fn from(error: Error) -> Self {
        RunStop::Failed(error)
    }
}

/// Returns whether the error may come from a deadline or a cancellation.
pub(super) fn is_interruption(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Timeout)
}

/// Returns the error of an interrupted run. `time_limit` is the run's own deadline.
pub(super) fn interruption(cx: &Context, time_limit: Option<TimeLimit>) -> Error {
    match time_limit {
        _ if !cx.is_past_deadline() => Error::new(ErrorKind::Cancelled, "the agent was cancelled"),
        Some(time_limit) => cx.timeout_error(&time_limit),
        None => Error::new(ErrorKind::Timeout, "the deadline of this step, or of a step around it, has passed"),
    }
}

/// Drops `work` when the context is cancelled or its deadline passes, so that the results before it are kept. A panic of
/// `work` is an error here, for the same reason.
pub(super) async fn unless_interrupted<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T, RunStop> {
    let (mut work, mut cancelled) = (pin!(work), pin!(cx.cancelled()));
    poll_fn(|task| {
        match catch_panic(|| work.as_mut().poll(task)) {
            Ok(Poll::Ready(result)) => return Poll::Ready(result.map_err(RunStop::Failed)),
            Err(panic) => return Poll::Ready(Err(RunStop::Failed(panic))),
            Ok(Poll::Pending) => {}
        }
        // A step around this one may be woken by the same deadline, and drops this future unless it completes by then.
        if cx.is_past_deadline() {
            return Poll::Ready(Err(RunStop::Interrupted));
        }
        cancelled.as_mut().poll(task).map(|()| Err(RunStop::Interrupted))
    })
    .await
}
