//! The admission gates of a stream, which can end it while its source still has inputs.

use std::sync::Arc;
use std::task::{self, Poll, ready};

use crate::context::AdmissionGate;
use crate::control::budget::StreamReservations;
use crate::error::Error;

/// The gates of one stream.
#[derive(Default)]
pub(super) struct AdmissionGates {
    gates: Vec<Arc<dyn AdmissionGate>>,
    /// The budgets in which each input needs a reservation.
    reservations: Vec<Arc<StreamReservations>>,
    reason: Option<Error>,
}

impl AdmissionGates {
    pub(super) fn add(&mut self, gate: Arc<dyn AdmissionGate>) {
        self.gates.push(gate);
    }

    /// Admits an input only with one of `reservations`.
    pub(super) fn add_reservations(&mut self, reservations: Arc<StreamReservations>) {
        self.reservations.push(reservations);
    }

    /// Ready once it is known whether one more input may start. If it may not, [`AdmissionGates::reason`] says
    /// why.
    #[inline]
    pub(super) fn poll_open(&mut self, task: &task::Context<'_>) -> Poll<bool> {
        if self.gates.is_empty() && self.reservations.is_empty() {
            return Poll::Ready(true);
        }
        self.poll_all(task)
    }

    fn poll_all(&mut self, task: &task::Context<'_>) -> Poll<bool> {
        if self.reason.is_none() {
            self.reason = self.gates.iter().find_map(|gate| gate.close_reason());
        }
        for reservations in &self.reservations {
            if self.reason.is_none() {
                self.reason = ready!(reservations.poll_next(task)).err();
            }
        }
        Poll::Ready(self.reason.is_none())
    }

    /// Records that the input was pulled.
    pub(super) fn enter(&self) {
        self.reservations.iter().for_each(|reservations| reservations.enter());
    }

    /// Records that no input is pulled for now.
    pub(super) fn leave(&self) {
        self.reservations.iter().for_each(|reservations| reservations.leave());
    }

    /// Returns the reason of the gate that ended the stream.
    pub(super) fn reason(&self) -> Option<&Error> {
        self.reason.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::observe::EventKind;
    use crate::{Context, ErrorKind, Step, step};

    /// A gate that admits a number of inputs.
    struct PassCount(AtomicUsize);

    impl AdmissionGate for PassCount {
        fn close_reason(&self) -> Option<Error> {
            let left = |left: usize| left.checked_sub(1);
            let refused = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err();
            refused.then(|| Error::new(ErrorKind::Rejected, "pass count reached"))
        }
    }

    fn pass_count(inputs: usize) -> Arc<PassCount> {
        Arc::new(PassCount(AtomicUsize::new(inputs)))
    }

    #[tokio::test(start_paused = true)]
    async fn closed_gate_ends_the_source_and_drains_items_in_flight() {
        let slow = step(|n: usize, _| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(n)
        });
        let cx = Context::recording();
        let mut stream = slow.stream(0.., &cx).limit(4).ordered().with_gate(pass_count(100)).with_gate(pass_count(6));
        let mut delivered = Vec::new();
        while let Some(outcome) = stream.next().await {
            delivered.push(outcome.result.unwrap());
        }
        assert_eq!(delivered, [0, 1, 2, 3, 4, 5]);
        assert_eq!((stream.pulled(), stream.stopped().unwrap().message()), (6, "pass count reached"));
        assert!(stream.next().await.is_none());
        let stops =
            cx.events().into_iter().filter(|event| matches!(event.fact, EventKind::StreamStopped { .. })).count();
        assert_eq!(stops, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn try_collect_returns_all_or_the_close_reason() {
        let echo = || step(|n: usize, _| async move { Ok(n) });
        let all = echo().stream(0..3, &Context::new()).with_gate(pass_count(4)).try_collect().await.unwrap();
        assert_eq!(all.len(), 3);
        let error = echo().stream(0..3, &Context::new()).with_gate(pass_count(2)).try_collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
}
