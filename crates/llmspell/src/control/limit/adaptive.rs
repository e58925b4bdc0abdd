//! A limit that adapts to the capacity of the other side: its settings, and what the algorithms share.

mod adaptive_limit;
mod aimd;
mod gradient;
#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use adaptive_limit::AdaptiveLimit;

use crate::error::{Error, ErrorKind};

/// The settings of an adaptive limit: whether it learns from overload alone, or from latency too.
///
/// [`Adaptive::aimd`] suits a server that rejects excess calls. The limit doubles until the first overload, and
/// remembers where that was. From then on it occasionally tries one more call: once in 64 calls and in five times the
/// limit, so that few calls are rejected. If one more call succeeds, it continues in steps that double. In an overload
/// it falls by the number of calls that were rejected together, at most by half, and once for all calls that ran at the
/// same time. Additive increase with multiplicative decrease is by Chiu and Jain (Computer Networks and ISDN Systems
/// 17, 1989). Slow start is TCP's (RFC 5681); the search below a remembered maximum is that of BIC (INFOCOM 2004) and
/// CUBIC (RFC 9438).
///
/// [`Adaptive::gradient`] does the same, and takes a rising latency for overload as well. It suits a server that
/// queues, or works on everything at once: it responds later and later before it rejects a call. It compares the time
/// to the first output of recent calls with the usual one, after Gradient2 of Netflix's
/// [concurrency-limits](https://github.com/Netflix/concurrency-limits). The first output is that of
/// [`Context::emit`](crate::Context::emit), because the time of a whole reply depends on its length. A step that emits
/// nothing is measured as a whole.
///
/// The limit learns from:
///
/// - *Success*, if all of the limit was in use when the call began. So keep more calls in flight than the limit allows;
///   [`Step::stream`](crate::Step::stream) over a step under such a limit does so by default.
/// - *Overload*: [`ErrorKind::Overloaded`] and [`ErrorKind::Timeout`], unless [`Adaptive::when`] says otherwise.
///   [`ErrorKind::AllFailed`] counts as the last of its causes. A single timeout among 20 calls does not count, because
///   a long-tailed latency has such calls without overload.
/// - Nothing else: other errors and dropped calls count neither way. So put the timeout of an attempt inside the limit,
///   as [`Policy`](crate::Policy) does. A timeout outside drops the call, and a deadline outside is the caller's.
///
/// While the other side asks callers to wait ([`Error::retry_after`]), the limit does not grow. A runaway counts as in
/// use until it ends. All clones of a [`Limit`](crate::Limit) share what it has learned, so create one for each
/// resource with its own capacity, such as an account with a model provider. Several processes that share a server
/// reach fair shares, but take minutes. Every change is an [`EventKind::LimitChanged`](crate::observe::EventKind::LimitChanged).
///
/// In simulations, such a limit completes at least 90 % of the calls that the best fixed limit completes, against a
/// server whose capacity changes each minute, and less than 2 % of its calls are rejected. `benches/README.md` shows
/// where this holds and where it does not.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Context, Limit, Policy, Retry, Step, step};
/// use llmspell::control::Adaptive;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let ask = step(|question: String, _| async move { Ok(question.len()) });
/// let limit = Limit::adaptive(Adaptive::aimd().max(64));
/// let policy = Policy::new().retry(Retry::exponential()).limit(limit.clone()).timeout(Duration::from_secs(30));
///
/// let questions = (0..100).map(|n| format!("what is {n}?"));
/// ask.policy(policy).stream(questions, &Context::new()).try_collect().await?;
/// assert!(limit.permits().unwrap() <= 64);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "pass it to `Limit::adaptive`"]
pub struct Adaptive {
    bounds: Bounds,
    /// How many times as long as usual the first output may take; `None` if latency does not count.
    tolerance: Option<f64>,
    when: Option<Arc<Classify>>,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

/// The range of the limit, and how far it may fall at once.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: usize,
    max: usize,
    initial: usize,
    /// The factor of the largest single decrease.
    back_off: f64,
}

impl Adaptive {
    /// Returns settings for a limit that learns from overload. It starts at 4, and stays between 1 and 256.
    pub fn aimd() -> Self {
        let bounds = Bounds { min: 1, max: 256, initial: 4, back_off: 0.5 };
        Adaptive { bounds, tolerance: None, when: None }
    }

    /// Returns the same settings for a limit that also falls when the first output takes 1.5 times as long as usual.
    pub fn gradient() -> Self {
        Adaptive { tolerance: Some(1.5), ..Adaptive::aimd() }
    }

    /// Sets the lower bound of the limit. The default is 1.
    ///
    /// # Panics If `calls` is 0, because nothing would ever run.
    pub fn min(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.bounds.min = calls;
        self
    }

    /// Sets the upper bound of the limit. The default is 256.
    ///
    /// # Panics If `calls` is 0, because nothing would ever run.
    pub fn max(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.bounds.max = calls;
        self
    }

    /// Sets the initial limit; it is clamped to the bounds. The default is 4.
    pub fn initial(mut self, calls: usize) -> Self {
        self.bounds.initial = calls;
        self
    }

    /// Sets the factor of the largest single decrease. The default is 0.5.
    ///
    /// # Panics
    /// If `factor` is not between 0 and 1.
    pub fn back_off(mut self, factor: f64) -> Self {
        assert!(factor > 0.0 && factor < 1.0, "a back-off factor must be between 0 and 1, such as 0.5");
        self.bounds.back_off = factor;
        self
    }

    /// Sets how many times as long as usual the first output may take before the limit falls, if latency counts. The
    /// default is 1.5.
    ///
    /// # Panics
    /// If `times` is not above 1.
    pub fn tolerance(mut self, times: f64) -> Self {
        assert!(times > 1.0, "a tolerance must be above 1, such as 1.5");
        self.tolerance = self.tolerance.map(|_| times);
        self
    }

    /// Counts the errors for which `overload` returns true as overload, instead of [`ErrorKind::Overloaded`] and
    /// [`ErrorKind::Timeout`].
    ///
    /// For [`ErrorKind::AllFailed`], `overload` gets the last cause. It is not called for [`ErrorKind::Rejected`],
    /// [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`]: they do not come from the other side, and never count.
    pub fn when(mut self, overload: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(overload));
        self
    }

    fn bounds(&self) -> Bounds {
        let Bounds { min, max, initial, back_off } = self.bounds;
        assert!(min <= max, "invalid bounds {min} and {max}: raise `Adaptive::max` or lower `Adaptive::min`");
        Bounds { min, max, initial: initial.clamp(min, max), back_off }
    }

    /// Whether an error that does not group others means overload.
    fn is_overload(&self, error: &Error) -> bool {
        error.is_upstream()
            && match &self.when {
                Some(when) => when(error),
                None => matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Timeout),
            }
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("bounds", &self.bounds)
            .field("tolerance", &self.tolerance)
            .field("when", &if self.when.is_some() { "custom" } else { "default" })
            .finish()
    }
}

/// The state of the limit when a call started, which the algorithm needs when the call ends.
#[derive(Clone, Copy, Debug)]
struct CallStart {
    /// The number of changes of the limit before the call.
    epoch: u64,
    /// Whether all of the limit was in use, including this call.
    saturated: bool,
}

/// An error that means overload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Overload {
    /// The other side rejected the call, perhaps with the time to wait.
    Rejected {
        retry_after: Option<Duration>,
    },
    TimedOut,
}
