//! Timers, and the point at which a task yields.
//!
//! It must not spawn.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::task::coop::{Unconstrained, poll_proceed, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

/// Returns the instant `time` after `start`. A time that does not fit into an instant becomes a century.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start.checked_add(time).unwrap_or_else(|| start + CENTURY)
}

/// Waits for `work` until `deadline`; `None` if the deadline passes first.
///
/// The timer is created when `work` first has to wait, so work that is ready does not pay for one.
pub(crate) async fn within<F: Future>(deadline: Instant, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut alarm = pin!(None);
    poll_fn(|task| poll_within(&deadline, work.as_mut(), alarm.as_mut(), task)).await
}

/// The timer of [`within`]; `None` until it is needed.
pub(crate) type Alarm = Option<Unconstrained<Sleep>>;

/// Polls `work` once; see [`within`].
#[inline]
pub(crate) fn poll_within<F: Future>(
    deadline: &Instant,
    work: Pin<&mut F>,
    mut alarm: Pin<&mut Alarm>,
    task: &mut task::Context<'_>,
) -> Poll<Option<F::Output>> {
    if let Poll::Ready(output) = work.poll(task) {
        return Poll::Ready(Some(output));
    }
    if alarm.is_none() {
        // Unconstrained: work that has used up the cooperative budget of the task must not stop the clock.
        alarm.set(Some(unconstrained(sleep_until(*deadline))));
    }
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.poll(task).map(|()| None),
        None => Poll::Pending,
    }
}

/// Yields to the scheduler if this task has used up its cooperative budget, so that a loop over work that is always
/// ready starves neither timers nor cancellation.
pub(crate) async fn yield_if_due() {
    poll_fn(|task| poll_proceed(task).map(|coop| coop.made_progress())).await;
}
