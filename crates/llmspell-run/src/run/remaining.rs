//! The remaining input of a run that reads no more records.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;

use crate::input::{InputLine, Records};
use crate::progress::Progress;

/// Records that a run did not read: they have no line in the output, and did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unread {
    /// The number of records counted.
    pub records: u64,
    /// Whether all of them were counted; if not, counting took too long and there are more.
    pub is_all: bool,
    /// The line of the first record, from 1.
    pub from_line: u64,
}

/// A source of records that is shared with [`RemainingInput`]: records that the stream does not read can still be
/// counted.
pub(crate) struct ReclaimableSource {
    records: Arc<Mutex<Records>>,
    gate: Arc<PauseGate>,
}

/// A gate that stops the source while the run is paused; it marks the run as paused in the progress.
pub(crate) struct PauseGate {
    state: Mutex<GateState>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct GateState {
    is_paused: bool,
    waker: Option<Waker>,
}

impl PauseGate {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        PauseGate { state: Mutex::default(), progress }
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.progress.paused.store(is_paused, Ordering::Relaxed);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_paused = is_paused;
        let waker = if is_paused { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_running(&self, task: &mut task::Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_paused {
            state.waker = Some(task.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// The part of the input that the stream has not read.
pub(crate) struct RemainingInput(Arc<Mutex<Records>>);

/// Splits records into a source for a stream, and the remaining input behind it.
pub(crate) fn reclaimable(records: Records, gate: Arc<PauseGate>) -> (ReclaimableSource, RemainingInput) {
    let shared = Arc::new(Mutex::new(records));
    (ReclaimableSource { records: shared.clone(), gate }, RemainingInput(shared))
}

/// Never contended: the remaining input is read only after the stream has ended.
fn locked(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for ReclaimableSource {
    type Item = InputLine;

    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<InputLine>> {
        ready!(self.gate.poll_running(task));
        Pin::new(&mut *locked(&self.records)).poll_next(task)
    }
}

impl RemainingInput {
    /// Whether the input is at its end and every record was read.
    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.0).is_at_end()
    }

    /// Counts the records that were not read, for at most `within`; returns `None` if there are none.
    pub(crate) async fn count(&self, within: Duration) -> Option<Unread> {
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
        Some(Unread { records, is_all, from_line })
    }
}
