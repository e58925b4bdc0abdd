//! A second copy of a call that is slow.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::How;
use super::contest::{Rule, adopt, decide, lane};
use crate::context::Context;
use crate::error::Result;
use crate::event::Fact;
use crate::executor::{after, within};
use crate::outcome::ServedBy;
use crate::pattern::branch::{Advance, Branch, later};
use crate::report::Histogram;
use crate::step::{About, Step};

/// When to start a second copy of a call.
///
/// The second copy starts once the first has been slow for a while; the first to succeed serves, and the
/// other is dropped. It costs a copy of the call, so only a share of the calls may be hedged: at most
/// [`Hedge::max_share`] of them, by default a tenth, but always the first; and never more than ten in a row
/// that a quiet time has left over. Only steps that are [declared idempotent](Step::idempotent) can be hedged.
///
/// After Dean and Barroso, "The Tail at Scale" (CACM 56(2), 2013), who hedge at the 95th percentile.
///
/// ```
/// use std::time::Duration;
/// use llmspell::Hedge;
///
/// let fixed = Hedge::after(Duration::from_millis(300)).max_share(0.05);
/// let learned = Hedge::at_percentile(95.0); // of the calls seen so far
/// # let _ = (fixed, learned);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Hedge {
    delay: Delay,
    max_share: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Delay {
    Never,
    After(Duration),
    Percentile(f64),
}

/// Calls seen before a percentile means anything.
const WARM_UP: u64 = 20;

/// Second copies that a quiet time can save up: a service that turns slow must not meet a flood of them.
const BURST: f64 = 10.0;

impl Hedge {
    /// Starts the second copy after `delay`.
    pub fn after(delay: Duration) -> Self {
        Hedge { delay: Delay::After(delay), max_share: 0.1 }
    }

    /// Starts the second copy once the first is slower than `percentile` per cent of the calls of this
    /// step that succeeded before; never in the first 20 calls.
    ///
    /// # Panics
    /// If `percentile` is not between 0 and 100.
    pub fn at_percentile(percentile: f64) -> Self {
        assert!(percentile > 0.0 && percentile < 100.0, "a percentile lies between 0 and 100");
        Hedge { delay: Delay::Percentile(percentile), max_share: 0.1 }
    }

    /// No second copy.
    pub fn never() -> Self {
        Hedge { delay: Delay::Never, max_share: 0.0 }
    }

    /// The largest share of calls that may be hedged, from 0 to 1.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn max_share(mut self, share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share lies between 0 and 1");
        self.max_share = share;
        self
    }
}

/// A step that is hedged; made by [`Step::hedge`].
#[must_use = "a step does nothing until it runs"]
pub struct Hedged<S> {
    step: S,
    policy: Hedge,
    seen: Mutex<Seen>,
}

/// What the calls so far have shown.
#[derive(Default)]
struct Seen {
    /// Second copies that may be started: each call adds its share, up to a few.
    credit: f64,
    times: Histogram,
    /// The percentile when it was last worked out, and how many times there were then.
    percentile: (Duration, u64),
}

impl<S: Step> Hedged<S> {
    pub(crate) fn new(step: S, policy: Hedge) -> Self {
        assert!(
            policy.delay == Delay::Never || step.about().idempotent,
            "hedging runs a step twice: declare it with `.idempotent()` if that does no harm"
        );
        // The first call may be hedged, whatever the share.
        let credit = if policy.max_share > 0.0 { 1.0 - policy.max_share } else { 0.0 };
        Hedged { step, policy, seen: Mutex::new(Seen { credit, ..Seen::default() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says how long to wait for it before a second copy starts.
    fn begin(&self) -> Option<Duration> {
        let mut seen = self.seen();
        seen.credit = (seen.credit + self.policy.max_share).min(BURST);
        match self.policy.delay {
            Delay::Never => None,
            Delay::After(delay) => Some(delay),
            Delay::Percentile(percentile) => {
                let count = seen.times.count();
                if count < WARM_UP {
                    return None;
                }
                // Looking it up takes a walk through the histogram; it hardly moves from call to call.
                if count >= seen.percentile.1 + WARM_UP {
                    seen.percentile = (seen.times.percentile(percentile), count);
                }
                Some(seen.percentile.0)
            }
        }
    }

    /// Learns how long a call took. One that a second copy has cut short counts from its own start, or else
    /// slow calls would drop out of sight and the percentile would sink.
    fn end<T>(&self, result: &Result<T>, started: Instant) {
        if result.is_ok() && matches!(self.policy.delay, Delay::Percentile(_)) {
            self.seen().times.record(started.elapsed());
        }
    }

    /// Takes a hedge out of what the share allows.
    fn may_hedge(&self) -> bool {
        let mut seen = self.seen();
        // A sum of shares such as 0.1 may fall short of a whole by a rounding error.
        let may = seen.credit >= 1.0 - 1e-9;
        if may {
            seen.credit -= 1.0;
        }
        may
    }
}

impl<S: Step<In: Clone>> Step for Hedged<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        if self.policy.delay == Delay::Never {
            return self.step.run(input, cx).await;
        }
        let started = Instant::now();
        let delay = self.begin();
        // A copy that could only start after the deadline is no help.
        let delay = delay.filter(|delay| cx.fits(*delay));
        let Some(delay) = delay else {
            let result = self.step.run(input, cx).await;
            self.end(&result, started);
            return result;
        };

        let how = How { rule: Rule::FirstSuccess, gate: None };
        let first_cx = lane(cx, &how, 0);
        let first = pin!(later(&self.step, input.clone(), &first_cx));
        let mut first = Branch::new(first);
        let ended = within(after(started, delay), poll_fn(|task| first.advance(task))).await;
        if ended.is_some() || !self.may_hedge() {
            if ended.is_none() {
                poll_fn(|task| first.advance(task)).await;
            }
            let result = first.take().expect("the first copy has completed");
            adopt(cx, &first_cx, || None);
            self.end(&result, started);
            return result;
        }

        cx.fact(|| Fact::Hedged { after: delay });
        let second_cx = lane(cx, &how, 1);
        let second = pin!(later(&self.step, input, &second_cx));
        let mut second = Branch::new(second);
        let names = [self.step.about().name; 2];
        let winner = decide(&mut [&mut first as &mut dyn Advance, &mut second], &names, cx, &how).await?;
        let result = if winner == 0 {
            adopt(cx, &first_cx, || None);
            first.take()
        } else {
            adopt(cx, &second_cx, || Some(ServedBy::Hedge));
            second.take()
        };
        let result = result.expect("the winner has completed");
        self.end(&result, started);
        result
    }

    fn about(&self) -> About<'_> {
        self.step.about()
    }
}
