//! A breaker: stops calls to a side that fails, and tries it again with care.

mod circuit;
mod recheck;
mod rejection;
mod shared_circuit;
mod window;
mod with_breaker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use recheck::BreakerRecheck;
pub use with_breaker::WithBreaker;

use crate::context::node::NodeKind;
use crate::context::{AdmissionGate, Context};
use crate::error::{Error, ErrorKind, Result};
use circuit::{Cause, LONGEST, Phase, Rules, Verdict};
use shared_circuit::SharedCircuit;

/// Refuses calls while the other side fails.
///
/// - *Closed*, it lets every call through and counts. It opens when, within [`Breaker::window`] (30 s), at least
///   [`Breaker::failure_rate`] (half) of at least [`Breaker::min_calls`] (20) calls have failed.
/// - *Open*, it refuses every call with [`ErrorKind::Rejected`], for [`Breaker::open_for`] (5 s) or as long as the other side
///   asked for ([`Error::retry_after`]), whichever is longer, and up to a quarter of its own time more, so that many
///   processes do not come back in step.
/// - *Half-open*, it lets through at most [`Breaker::probes`] (1) calls at a time. As many that succeed close it; one
///   that fails opens it again, for twice as long each time, up to [`Breaker::max_open`] (1 min).
///
/// *What counts*: a result is a success. Timeouts, overload, panics, [`ErrorKind::Denied`] and whatever else is
/// [transient](Error::is_transient) are failures; any other error is an answer, so it counts as a success
/// ([`Breaker::when`] decides otherwise). [`ErrorKind::AllFailed`] counts as the last of its causes. Errors that are not
/// the other side's doing count as neither: [`ErrorKind::Rejected`] (so breakers further in do not trip those further out),
/// [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`]. A call that is dropped before it ends, because time was up further out, it
/// lost a race or its caller went away, counts as neither, too, unless [`Breaker::counting_dropped`] is chosen; if it
/// was a probe, its place is free at once. Calls that were let in before the breaker opened have no say when they end.
///
/// *Retries* around a breaker wait for it: a refusal says when to come back, so a [`Retry`](crate::Retry) whose
/// `max_wait` is long enough makes its next attempt then, and any other gives up at once, for a fallback to serve.
///
/// Put a timeout *inside* of it, as [`Policy`](crate::Policy) does: calls that hang are then seen to fail, and a
/// probe that hangs does not keep its place for ever.
///
/// Clones share their state, so one breaker can stand for one server that several steps use. Choose the settings first,
/// then clone.
///
/// The states are those of Nygard, "Release It!" (2007). With nothing to refuse, a call costs one short lock.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Breaker, Context, Error, ErrorKind, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let server = Breaker::new().consecutive_failures(3);
/// let ask = step(|_: u32, _| async move { Err::<u32, _>(Error::overloaded("503")) }).breaker(server.clone());
/// for n in 0..3 {
///     assert_eq!(ask.run(n, &Context::new()).await.unwrap_err().kind(), ErrorKind::Overloaded);
/// }
/// let refused = ask.run(3, &Context::new()).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Rejected);
/// assert!(refused.retry_after() >= Some(Duration::from_secs(5)));
/// assert!(!server.is_closed());
/// # });
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Breaker(Arc<Shared>);

struct Shared {
    rules: Rules,
    when: Option<Arc<Classify>>,
    dropped: bool,
    switch: SharedCircuit,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

impl Breaker {
    /// A closed breaker with the defaults above.
    pub fn new() -> Self {
        let rules = Rules {
            open_at: 0.5,
            window: Duration::from_secs(30),
            min_calls: 20,
            in_a_row: None,
            open_for: Some(Duration::from_secs(5)),
            max_open: Duration::from_secs(60),
            probes: 1,
            jitter: true,
        };
        let switch = SharedCircuit::new(rules.clone());
        Breaker(Arc::new(Shared { rules, when: None, dropped: false, switch }))
    }

    /// A breaker for whole runs: it opens when calls are [denied](Kind::Denied), three in a row or at the usual share,
    /// and stays open until it is [reset](Breaker::reset). Nothing else counts as a failure.
    ///
    /// When credentials or money are missing, no other call will fare better, and those before it in a flow may cost
    /// money. Give it to [`Streaming::breaker`](crate::Streaming::breaker).
    pub fn on_denied() -> Self {
        Breaker::new().when(|error| error.kind() == ErrorKind::Denied).consecutive_failures(3).until_reset()
    }

    /// What tells it from other breakers.
    fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Whether this work is one of its probes.
    fn is_probing(&self, cx: &Context) -> bool {
        cx.chain().any(|node| matches!(node.kind, NodeKind::Probe(address) if address == self.address()))
    }

    /// Changes a setting. Were it done on one of several clones, that one would part from the others unseen.
    #[track_caller]
    fn edit(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::get_mut(&mut self.0);
        let shared = shared.expect("configure a `Breaker` before it is cloned: clones share its state");
        change(shared);
        shared.switch = SharedCircuit::new(shared.rules.clone());
        self
    }

    /// The share of calls that must fail for it to open, above 0 and up to 1. The default is 0.5.
    ///
    /// # Panics
    /// If the share is not above 0 and up to 1, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn failure_rate(self, share: f64) -> Self {
        assert!(share > 0.0 && share <= 1.0, "the share of failures lies above 0 and up to 1, not at {share}");
        self.edit(|shared| shared.rules.open_at = share)
    }

    /// How long a call counts. Kept in ten parts, of which the oldest is forgotten as a whole, so it is a tenth less at
    /// times. The default is 30 s.
    ///
    /// # Panics
    /// If it is zero, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn window(self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a breaker that remembers nothing would never open");
        self.edit(|shared| shared.rules.window = time)
    }

    /// How many calls there must be in the window before their share of failures means anything. The default is 20.
    ///
    /// # Panics
    /// If it is 0, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn min_calls(self, calls: u64) -> Self {
        assert!(calls > 0, "a share takes at least one call");
        self.edit(|shared| shared.rules.min_calls = calls)
    }

    /// Opens also after so many failures in a row, however few calls there were and however long they took. By default
    /// it does not.
    ///
    /// # Panics
    /// If it is 0, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn consecutive_failures(self, failures: u64) -> Self {
        assert!(failures > 0, "a row of failures takes at least one");
        self.edit(|shared| shared.rules.in_a_row = Some(failures))
    }

    /// How long it stays open at first. The default is 5 s.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn open_for(self, time: Duration) -> Self {
        self.edit(|shared| shared.rules.open_for = Some(time.min(LONGEST)))
    }

    /// The longest time it stays open, however many probes have failed; a server that asks for more gets more. The
    /// default is 1 min, or [`Breaker::open_for`] if that is longer.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn max_open(self, time: Duration) -> Self {
        self.edit(|shared| shared.rules.max_open = time)
    }

    /// Stays open until [`Breaker::reset`]: there are no probes.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn until_reset(self) -> Self {
        self.edit(|shared| shared.rules.open_for = None)
    }

    /// How many probes may be on their way at a time, and how many must succeed to close it. The default is 1.
    ///
    /// # Panics
    /// If it is 0, for it would never close, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn probes(self, calls: u32) -> Self {
        assert!(calls > 0, "without a probe it would never close; `until_reset` says that it should not");
        self.edit(|shared| shared.rules.probes = calls)
    }

    /// Stays open for exactly the time it should. Many processes that opened together then probe together.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn without_jitter(self) -> Self {
        self.edit(|shared| shared.rules.jitter = false)
    }

    /// Takes the errors for which `failure` holds as failures, instead of the default ones. Of an
    /// [exhausted](Kind::AllFailed) error it is shown the last cause; it is not asked about [`ErrorKind::Rejected`],
    /// [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`], which never are. Errors that `?` has converted are not transient and
    /// so no failures by default: `when(|_| true)` makes them so.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn when(self, failure: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.edit(|shared| shared.when = Some(Arc::new(failure)))
    }

    /// Counts calls that are dropped before they end as failures, probes included: for calls that nothing but a
    /// deadline further out ever ends.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn counting_dropped(self) -> Self {
        self.edit(|shared| shared.dropped = true)
    }

    /// Whether it lets every call through.
    pub fn is_closed(&self) -> bool {
        self.0.switch.phase() == Phase::Closed
    }

    /// Closes it and forgets what it has counted. If it was not closed, those who listen to `cx` hear that it is.
    pub fn reset(&self, cx: &Context) {
        rejection::report(self.0.switch.reset(), cx, || None);
    }

    /// Counts an outcome of something that it was not asked about.
    pub(crate) fn hear<T>(&self, result: &Result<T>, cx: &Context) {
        let change = self.0.switch.hear(self.verdict(result), Instant::now);
        rejection::report(change, cx, || None);
    }

    fn verdict<'a, T>(&self, result: &'a Result<T>) -> Verdict<'a> {
        let Err(error) = result else { return Verdict::Success };
        let error = error.root_cause();
        match error.is_upstream() {
            false => Verdict::Neither,
            true if self.is_failure(error) => Verdict::Failure(error),
            true => Verdict::Success,
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

/// A stream asks it before each input, and does not wait until it half-opens.
impl AdmissionGate for Breaker {
    fn close_reason(&self) -> Option<Error> {
        if self.is_closed() {
            return None;
        }
        self.0.switch.refusal(Instant::now).map(|refusal| {
            let error = refusal.error();
            error.with_causes(vec![refusal.why.last])
        })
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("phase", &self.0.switch.phase())
            .field("rules", &self.0.rules)
            .field("when", &if self.0.when.is_some() { "chosen errors" } else { "the default" })
            .field("dropped", &self.0.dropped)
            .finish()
    }
}
