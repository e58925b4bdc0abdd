//! A limit that finds itself.

mod aimd;
mod gradient;
#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use watch::Adapting;

use crate::error::{Error, ErrorKind};

/// How a limit finds itself: from overload alone, or from slowness too.
///
/// [`Adaptive::aimd`] is for a server that refuses what is too much for it. The limit doubles until the first overload,
/// and remembers where that was. From then on it tries one call more now and then: once in 64 calls and in five times
/// the limit, so that few are refused. If one more is fine it goes on in steps that double. In an overload it falls by
/// as many calls as were refused together, at most to half, once for all that were under way at the same time.
/// Additive increase with multiplicative decrease is Chiu and Jain's (Computer Networks and ISDN Systems 17, 1989);
/// slow start is TCP's (RFC 5681), the search below a remembered maximum that of BIC (INFOCOM 2004) and CUBIC (RFC
/// 9438).
///
/// [`Adaptive::gradient`] does the same, and takes slowness for overload as well. It is for a server that queues, or
/// works on everything at once: it answers later and later before it refuses anything. Compared is the time to the
/// first output of the last calls with what is usual, after Gradient2 of Netflix's
/// [concurrency-limits](https://github.com/Netflix/concurrency-limits). The first output is that of
/// [`Context::emit`](crate::Context::emit), for the whole answer of a model takes as long as it is long; a step that
/// shows nothing is measured as a whole.
///
/// What the limit learns from:
///
/// - *Success*, if all of the limit was in use when the call began. So keep more calls in flight than the limit allows;
///   [`Step::stream`](crate::Step::stream) over a step under such a limit does, unless told otherwise.
/// - *Overload*: [`ErrorKind::Overloaded`] and [`ErrorKind::Timeout`], unless [`Adaptive::when`] says otherwise.
///   [`ErrorKind::AllFailed`] counts as the last of its causes. A timeout that is alone among 20 calls is none, for a
///   long-tailed latency has such calls without it.
/// - Nothing else, neither for nor against: not other errors, and not calls that are dropped. So put the timeout of
///   an attempt inside of the limit, as [`Policy`](crate::Policy) does; one outside of it drops the call, and a
///   deadline outside of it is the caller's.
///
/// While the other side asks to be left alone ([`Error::retry_after`]) the limit does not grow. A runaway counts as
/// in use until it ends. All clones of a [`Limit`](crate::Limit) share what it has learned, so make one for each
/// thing that has a capacity of its own, such as an account with a model provider. Several processes that share a
/// server come to fair shares, but take minutes. [`EventKind::LimitChanged`](crate::EventKind::LimitChanged) tells of every change.
///
/// In simulations a limit like this does at least 90 % of what the best fixed limit does against a server whose
/// capacity changes each minute, with less than 2 % of the calls refused; `benches/README.md` shows where this holds
/// and where it does not.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Adaptive, Context, Limit, Policy, Retry, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let ask = step(|question: String, _| async move { Ok(question.len()) });
/// let limit = Limit::adaptive(Adaptive::aimd().max(64));
/// let policy = Policy::new().retry(Retry::exponential()).limit(limit.clone()).timeout(Duration::from_secs(30));
///
/// let questions = (0..100).map(|n| format!("what is {n}?"));
/// ask.policy(policy).stream(questions, &Context::new()).try_collect().await?;
/// assert!(limit.calls().unwrap() <= 64);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "give it to `Limit::adaptive`"]
pub struct Adaptive {
    bounds: Bounds,
    /// How many times as long as usual the first output may take; `None` if that does not matter.
    tolerance: Option<f64>,
    when: Option<Arc<Classify>>,
}

type Classify = dyn Fn(&Error) -> bool + Send + Sync;

/// Where the limit may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: usize,
    max: usize,
    initial: usize,
    /// What is left of the limit after the largest fall.
    back_off: f64,
}

impl Adaptive {
    /// A limit that falls with overloads: from 4 at the beginning to anything between 1 and 256.
    pub fn aimd() -> Self {
        let bounds = Bounds { min: 1, max: 256, initial: 4, back_off: 0.5 };
        Adaptive { bounds, tolerance: None, when: None }
    }

    /// The same that also falls when the first output takes half as long again as usual.
    pub fn gradient() -> Self {
        Adaptive { tolerance: Some(1.5), ..Adaptive::aimd() }
    }

    /// The limit never falls below this. The default is 1.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn min(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.bounds.min = calls;
        self
    }

    /// The limit never grows beyond this. The default is 256.
    ///
    /// # Panics
    /// If `calls` is 0, for nothing would ever run.
    pub fn max(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.bounds.max = calls;
        self
    }

    /// Where the limit begins, within its bounds. The default is 4.
    pub fn initial(mut self, calls: usize) -> Self {
        self.bounds.initial = calls;
        self
    }

    /// What is left of the limit when it falls as far as it may at once. The default is 0.5.
    ///
    /// # Panics
    /// If `factor` is not between 0 and 1.
    pub fn back_off(mut self, factor: f64) -> Self {
        assert!(factor > 0.0 && factor < 1.0, "a back-off factor lies between 0 and 1, such as 0.5");
        self.bounds.back_off = factor;
        self
    }

    /// How many times as long as usual the first output may take before the limit falls, where slowness counts. The
    /// default is 1.5.
    ///
    /// # Panics
    /// If `times` is not above 1.
    pub fn tolerance(mut self, times: f64) -> Self {
        assert!(times > 1.0, "a tolerance is a factor above 1, such as 1.5");
        self.tolerance = self.tolerance.map(|_| times);
        self
    }

    /// Takes the errors for which `overload` holds as overload, instead of [`ErrorKind::Overloaded`] and [`ErrorKind::Timeout`]. Of an
    /// [exhausted](Kind::AllFailed) error it is shown the last cause; it is not asked about [`ErrorKind::Rejected`],
    /// [`ErrorKind::Cancelled`] and [`ErrorKind::Invalid`], which never are: they do not come from the other side.
    pub fn when(mut self, overload: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(overload));
        self
    }

    fn bounds(&self) -> Bounds {
        let Bounds { min, max, initial, back_off } = self.bounds;
        assert!(min <= max, "a limit between {min} and {max} is none: raise `Adaptive::max` or lower `Adaptive::min`");
        Bounds { min, max, initial: initial.clamp(min, max), back_off }
    }

    /// Whether an error that is no collection of others is overload.
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
            .field("when", &if self.when.is_some() { "chosen errors" } else { "the default" })
            .finish()
    }
}

/// What an algorithm has to know of a call when it ends.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// Counts the changes of the limit until it began.
    epoch: u64,
    /// Whether all of the limit was in use with it.
    saturated: bool,
}

/// How a call says "too much".
#[derive(Clone, Copy, Debug, PartialEq)]
enum Overload {
    /// In so many words; perhaps with the time for which it wants to be left alone.
    Refused {
        quiet: Option<Duration>,
    },
    TimedOut,
}
