//! What is left of the input when a run takes no more of it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;

use super::lines::Line;
use super::records::Records;

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
pub(crate) struct Lent(Arc<Mutex<Records>>);

pub(crate) struct Rest(Arc<Mutex<Records>>);

pub(crate) fn lend(records: Records) -> (Lent, Rest) {
    let shared = Arc::new(Mutex::new(records));
    (Lent(shared.clone()), Rest(shared))
}

/// Never waited for: the rest is asked for when the stream has ended.
fn locked(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Lent {
    type Item = Line;

    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Line>> {
        Pin::new(&mut *locked(&self.0)).poll_next(task)
    }
}

impl Rest {
    /// Counts what was not taken, for this time at most; `None` if nothing is left.
    pub(crate) async fn count(self, within: Duration) -> Option<NotAdmitted> {
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
