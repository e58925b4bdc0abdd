//! A circuit breaker: it stops calls to a side that fails, and probes it before it lets calls through again.

mod builder;
mod circuit;
mod recheck;
mod rejection;
mod settings;
mod shared_circuit;
mod window;
mod with_breaker;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

pub use builder::BreakerBuilder;
pub(crate) use recheck::BreakerRecheck;
pub use with_breaker::WithBreaker;

use crate::context::node::NodeKind;
use crate::context::{AdmissionGate, Context};
use crate::error::{Error, ErrorKind, Result};
use circuit::{CallVerdict, Phase};
use settings::BreakerSettings;
use shared_circuit::SharedCircuit;

/// A circuit breaker: rejects calls while the other side fails.
///
/// - *Closed*, it lets every call through and counts. It opens when, within the [window](BreakerBuilder::window) (30 s),
///   at least the [failure rate](BreakerBuilder::failure_rate) (half) of at least
///   [`min_calls`](BreakerBuilder::min_calls) (20) calls have failed.
/// - *Open*, it rejects every call with [`ErrorKind::Rejected`], for [`open_for`](BreakerBuilder::open_for) (5 s) or as
///   long as the other side asked for ([`Error::retry_after`]), whichever is longer. Up to a quarter of its own time is
///   added, so that many processes do not come back in step.
/// - *Half-open*, it lets at most [`probes`](BreakerBuilder::probes) (1) calls through at a time. When as many have
///   succeeded, it closes. When one fails, it opens again, for twice as long each time, up to
///   [`max_open`](BreakerBuilder::max_open) (1 min).
///
/// *Successes and failures*: a result is a success. Timeouts, overload, panics, [`ErrorKind::Denied`] and all
/// [transient](Error::is_transient) errors are failures. Any other error is an answer, and counts as a success;
/// [`BreakerBuilder::when`] changes that. [`ErrorKind::AllFailed`] counts as the last of its causes. Errors that the
/// other side did not cause count as neither: [`ErrorKind::Rejected`] (so that breakers further in do not trip those
/// further out), [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`]. A call that is dropped before it ends also counts
/// as neither, unless [`BreakerBuilder::counting_dropped`] is chosen; if it was a probe, another probe can start at
/// once. Calls that started before the breaker opened have no effect when they end.
///
/// *Retries* around a breaker wait for it: a rejection says when to come back. A [`Retry`](crate::Retry) whose
/// `max_wait` is long enough makes its next attempt then, and any other gives up at once, so that a fallback can serve.
///
/// Put a timeout *inside* the breaker, as [`Policy`](crate::Policy) does. Then calls that hang count as failures, and a
/// probe that hangs does not block other probes for ever.
///
/// Clones share their state, so one breaker can stand for one server that several steps use.
///
/// The states are those of Nygard, "Release It!" (2007). While it is closed, a call costs one short lock.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Breaker, Context, Error, ErrorKind, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let server = Breaker::builder().consecutive_failures(3).build();
/// let ask = step(|_: u32, _| async move { Err::<u32, _>(Error::overloaded("503")) }).breaker(server.clone());
/// for n in 0..3 {
///     assert_eq!(ask.run(n, &Context::new()).await.unwrap_err().kind(), ErrorKind::Overloaded);
/// }
/// let rejected = ask.run(3, &Context::new()).await.unwrap_err();
/// assert_eq!(rejected.kind(), ErrorKind::Rejected);
/// assert!(rejected.retry_after() >= Some(Duration::from_secs(5)));
/// assert!(!server.is_closed());
/// # });
/// ```
#[derive(Clone)]
#[must_use = "a breaker does nothing until a step, a stream or a policy has it"]
pub struct Breaker(Arc<BreakerInner>);

struct BreakerInner {
    settings: BreakerSettings,
    when: Option<Arc<Classify>>,
    counts_dropped: bool,
    circuit: SharedCircuit,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

impl Breaker {
    /// Creates a closed breaker with the defaults above.
    pub fn new() -> Self {
        Breaker::builder().build()
    }

    /// Returns a builder for a breaker with other settings.
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::new()
    }

    /// Creates a breaker for whole runs, which stops them when calls are denied; see [`BreakerBuilder::on_denied`].
    pub fn on_denied() -> Self {
        Breaker::builder().on_denied().build()
    }

    /// Returns the identity of the shared state.
    fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Whether this work is part of a probe of this breaker.
    fn is_probing(&self, cx: &Context) -> bool {
        cx.chain().any(|node| matches!(node.kind, NodeKind::Probe(address) if address == self.address()))
    }

    /// Whether the breaker lets every call through.
    pub fn is_closed(&self) -> bool {
        self.0.circuit.phase() == Phase::Closed
    }

    /// Closes the breaker and forgets what it has counted. If it was not closed, this is an event of `cx`.
    pub fn reset(&self, cx: &Context) {
        rejection::report(self.0.circuit.reset(), cx, || None);
    }

    /// Counts the outcome of a call that did not go through the breaker.
    pub(crate) fn record_outcome<T>(&self, result: &Result<T>, cx: &Context) {
        let change = self.0.circuit.record_outcome(self.verdict(result), Instant::now);
        rejection::report(change, cx, || None);
    }

    fn verdict<'a, T>(&self, result: &'a Result<T>) -> CallVerdict<'a> {
        let Err(error) = result else { return CallVerdict::Success };
        let error = error.root_cause();
        match error.is_upstream() {
            false => CallVerdict::Neither,
            true if self.is_failure(error) => CallVerdict::Failure(error),
            true => CallVerdict::Success,
        }
    }

    fn is_failure(&self, error: &Error) -> bool {
        match &self.0.when {
            Some(when) => when(error),
            None => {
                let counted = [ErrorKind::Timeout, ErrorKind::Overloaded, ErrorKind::Panicked, ErrorKind::Denied];
                counted.contains(&error.kind()) || error.is_transient()
            }
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::new()
    }
}

/// A stream asks the breaker before each input, and ends if it is not closed.
impl AdmissionGate for Breaker {
    fn close_reason(&self) -> Option<Error> {
        if self.is_closed() {
            return None;
        }
        self.0.circuit.rejection(Instant::now).map(|rejection| {
            let error = rejection.error();
            error.with_causes(vec![rejection.reason.last])
        })
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("phase", &self.0.circuit.phase())
            .field("settings", &self.0.settings)
            .field("when", &if self.0.when.is_some() { "custom" } else { "default" })
            .field("counts_dropped", &self.0.counts_dropped)
            .finish()
    }
}
