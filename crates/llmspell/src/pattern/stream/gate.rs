//! What can end the admission of inputs while the source still has some.

use std::sync::Arc;

use crate::error::Error;

/// Something that watches over a whole run and can put an end to it: what is in flight is drained, and no
/// further input is pulled from the source.
pub(crate) trait Gate: Send + Sync {
    /// Why no further input may come in; `None` while inputs may. A stream asks before it pulls each input,
    /// and a gate that was closed once has ended it.
    fn closed(&self) -> Option<Error>;
}

/// The gates of one stream.
#[derive(Default)]
pub(super) struct Gates {
    gates: Vec<Arc<dyn Gate>>,
    reason: Option<Error>,
}

impl Gates {
    pub(super) fn add(&mut self, gate: Arc<dyn Gate>) {
        self.gates.push(gate);
    }

    /// Whether one more input may come in. Once it may not, [`Gates::reason`] says why.
    pub(super) fn are_open(&mut self) -> bool {
        if self.reason.is_none() {
            self.reason = self.gates.iter().find_map(|gate| gate.closed());
        }
        self.reason.is_none()
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
    use crate::{Context, Fact, Kind, Step, step};

    /// Lets so many inputs in.
    struct Turnstile(AtomicUsize);

    impl Gate for Turnstile {
        fn closed(&self) -> Option<Error> {
            let left = |left: usize| left.checked_sub(1);
            let refused = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err();
            refused.then(|| Error::new(Kind::Rejected, "that is all"))
        }
    }

    fn turnstile(inputs: usize) -> Arc<Turnstile> {
        Arc::new(Turnstile(AtomicUsize::new(inputs)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_ends_the_source_and_what_is_in_flight_is_delivered() {
        let slow = step(|n: usize, _| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(n)
        });
        let cx = Context::recording();
        let mut stream = slow.stream(0.., &cx).limit(4).ordered().behind(turnstile(100)).behind(turnstile(6));
        let mut delivered = Vec::new();
        while let Some(outcome) = stream.next().await {
            delivered.push(outcome.result.unwrap());
        }
        assert_eq!(delivered, [0, 1, 2, 3, 4, 5]);
        assert_eq!((stream.pulled(), stream.stopped().unwrap().message()), (6, "that is all"));
        assert!(stream.next().await.is_none());
        let told = cx.events().into_iter().filter(|event| matches!(event.fact, Fact::StreamStopped { .. })).count();
        assert_eq!(told, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn all_or_the_reason_why_not() {
        let echo = || step(|n: usize, _| async move { Ok(n) });
        let all = echo().stream(0..3, &Context::new()).behind(turnstile(4)).try_collect().await.unwrap();
        assert_eq!(all.len(), 3);
        let error = echo().stream(0..3, &Context::new()).behind(turnstile(2)).try_collect().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
    }
}
