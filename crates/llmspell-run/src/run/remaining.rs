//! What is left of the input when a run takes no more of it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;

use crate::input::{Line, Records};
use crate::progress::Progress;

/// Records that a run has not taken: they have no line in the output, and have not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAdmitted {
    /// How many there are.
    pub records: u64,
    /// Whether that is all of them; otherwise counting took too long, and there are more.
    pub is_all: bool,
    /// The line of the first one, from 1.
    pub from_line: u64,
}

/// Records that are lent to a stream: what it does not take can still be counted.
pub(crate) struct Lent {
    records: Arc<Mutex<Records>>,
    gate: Arc<Gate>,
}

/// While it is shut, no record is taken; the progress tells.
pub(crate) struct Gate {
    waiting: Mutex<Waiting>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Waiting {
    is_shut: bool,
    waker: Option<Waker>,
}

impl Gate {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Gate { waiting: Mutex::default(), progress }
    }

    pub(crate) fn set_shut(&self, is_shut: bool) {
        self.progress.paused.store(is_shut, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_shut = is_shut;
        let waker = if is_shut { None } else { waiting.waker.take() };
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_open(&self, task: &mut task::Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_shut {
            waiting.waker = Some(task.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

pub(crate) struct Rest(Arc<Mutex<Records>>);

pub(crate) fn lend(records: Records, gate: Arc<Gate>) -> (Lent, Rest) {
    let shared = Arc::new(Mutex::new(records));
    (Lent { records: shared.clone(), gate }, Rest(shared))
}

/// Never waited for: the rest is asked for when the stream has ended.
fn locked(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Lent {
    type Item = Line;

    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Line>> {
        ready!(self.gate.poll_open(task));
        Pin::new(&mut *locked(&self.records)).poll_next(task)
    }
}

impl Rest {
    /// Whether the input has come to its end, and every record of it was taken.
    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.0).is_at_end()
    }

    /// Counts what was not taken, for this time at most; `None` if nothing is left.
    pub(crate) async fn count(&self, within: Duration) -> Option<NotAdmitted> {
        let (mut records, mut from_line) = (0, None);
        let counting = async {
            while let Some(line) = poll_fn(|task| locked(&self.0).poll_line(task)).await {
                from_line.get_or_insert(line.number);
                records += 1;
            }
        };
        let ended = timeout(within, counting).await.is_ok();
        let is_all = ended && !locked(&self.0).is_broken();
        if is_all && records == 0 {
            return None;
        }
        let from_line = from_line.unwrap_or_else(|| locked(&self.0).last_line() + 1);
        Some(NotAdmitted { records, is_all, from_line })
    }
}
