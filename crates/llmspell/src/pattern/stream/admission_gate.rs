//! What can end the admission of inputs while the source still has some.

use std::sync::Arc;
use std::task::{self, Poll, ready};

use crate::control::budget::StreamReservations;
use crate::error::Error;

/// Something that watches over a whole run and can put an end to it: what is in flight is drained, and no
/// further input is pulled from the source.
pub(crate) trait AdmissionGate: Send + Sync {
    /// Why no further input may come in; `None` while inputs may. A stream asks before it pulls each input,
    /// and a gate that was closed once has ended it.
    fn closed(&self) -> Option<Error>;
}

/// The gates of one stream.
#[derive(Default)]
pub(super) struct AdmissionGates {
    gates: Vec<Arc<dyn AdmissionGate>>,
    /// Where each input needs a reservation.
    seats: Vec<Arc<StreamReservations>>,
    reason: Option<Error>,
}

impl AdmissionGates {
    pub(super) fn add(&mut self, gate: Arc<dyn AdmissionGate>) {
        self.gates.push(gate);
    }

    /// Lets each input in only if there is one of `seats` for it.
    pub(super) fn seat(&mut self, seats: Arc<StreamReservations>) {
        self.seats.push(seats);
    }

    /// Whether one more input may come in, or has to wait until that is known. Once it may not,
    /// [`AdmissionGates::reason`] says why.
    #[inline]
    pub(super) fn poll_open(&mut self, task: &task::Context<'_>) -> Poll<bool> {
        if self.gates.is_empty() && self.seats.is_empty() {
            return Poll::Ready(true);
        }
        self.poll_all(task)
    }

    fn poll_all(&mut self, task: &task::Context<'_>) -> Poll<bool> {
        if self.reason.is_none() {
            self.reason = self.gates.iter().find_map(|gate| gate.closed());
        }
        for seats in &self.seats {
            if self.reason.is_none() {
                self.reason = ready!(seats.poll_next(task)).err();
            }
        }
        Poll::Ready(self.reason.is_none())
    }

    /// The input has come in.
    pub(super) fn enter(&self) {
        self.seats.iter().for_each(|seats| seats.enter());
    }

    /// No input comes in for now.
    pub(super) fn leave(&self) {
        self.seats.iter().for_each(|seats| seats.leave());
    }

    /// Which gate ended the stream, and why.
    pub(super) fn reason(&self) -> Option<&Error> {
        self.reason.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::{Context, ErrorKind, EventKind, Step, step};

    /// Lets so many inputs in.
    struct PassCount(AtomicUsize);

    impl AdmissionGate for PassCount {
        fn closed(&self) -> Option<Error> {
            let left = |left: usize| left.checked_sub(1);
            let refused = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err();
            refused.then(|| Error::new(ErrorKind::Rejected, "that is all"))
        }
    }

    fn pass_count(inputs: usize) -> Arc<PassCount> {
        Arc::new(PassCount(AtomicUsize::new(inputs)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_ends_the_source_and_what_is_in_flight_is_delivered() {
        let slow = step(|n: usize, _| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(n)
        });
        let cx = Context::recording();
        let mut stream = slow.stream(0.., &cx).limit(4).ordered().behind(pass_count(100)).behind(pass_count(6));
        let mut delivered = Vec::new();
        while let Some(outcome) = stream.next().await {
            delivered.push(outcome.result.unwrap());
        }
        assert_eq!(delivered, [0, 1, 2, 3, 4, 5]);
        assert_eq!((stream.pulled(), stream.stopped().unwrap().message()), (6, "that is all"));
        assert!(stream.next().await.is_none());
        let told =
            cx.events().into_iter().filter(|event| matches!(event.fact, EventKind::StreamStopped { .. })).count();
        assert_eq!(told, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn all_or_the_reason_why_not() {
        let echo = || step(|n: usize, _| async move { Ok(n) });
        let all = echo().stream(0..3, &Context::new()).behind(pass_count(4)).try_collect().await.unwrap();
        assert_eq!(all.len(), 3);
        let error = echo().stream(0..3, &Context::new()).behind(pass_count(2)).try_collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
}
