//! A second copy of a call that is slow.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::copy::seconded;
use super::latency::LatencyWindow;
use crate::context::{Context, FirstOutput};
use crate::control::retry_budget::RetryBudget;
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::runtime::executor::after;
use crate::step::{Step, StepInfo};

/// When to start a second copy of a call.
///
/// The second copy starts once the first has been slow for a while; the first to succeed serves, and the
/// other is dropped. It costs a copy of the call, so only a share of the calls may be hedged: at most
/// [`Hedge::max_share`] of them, by default a tenth, but always the first; and never more than ten in a row
/// that a quiet time has left over. [`Hedge::retry_budget`] has it share with the retries instead. Only steps that are
/// [declared idempotent](Step::idempotent) can be hedged, and a copy that could only start after the deadline
/// is not planned.
///
/// After Dean and Barroso, "The Tail at Scale" (CACM 56(2), 2013), who hedge at the 95th percentile.
/// `cargo bench -p llmspell --bench hedge` shows what it does to the tail of several distributions, and what
/// it costs.
///
/// ```
/// use std::time::Duration;
/// use llmspell::Hedge;
///
/// let fixed = Hedge::after(Duration::from_millis(300)).max_share(0.05);
/// let learned = Hedge::at_percentile(95.0); // of the calls seen lately
/// let model = Hedge::at_percentile(95.0).first_output(); // of the times to the first token
/// # let _ = (fixed, learned, model);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Hedge {
    delay: Delay,
    allowance: Allowance,
    /// Whether the first output decides.
    first_output: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Delay {
    Never,
    After(Duration),
    Percentile(f64),
}

#[derive(Clone, Debug)]
enum Allowance {
    /// Each hedged step has a budget of its own.
    Share(f64),
    Budget(RetryBudget),
}

impl Hedge {
    fn new(delay: Delay) -> Self {
        Hedge { delay, allowance: Allowance::Share(0.1), first_output: false }
    }

    /// Starts the second copy after `delay`.
    pub fn after(delay: Duration) -> Self {
        Hedge::new(Delay::After(delay))
    }

    /// Starts the second copy once the first is slower than `percentile` per cent of the calls of this
    /// step that have succeeded lately, which are the last two to four thousand; never in the first 20 calls.
    ///
    /// # Panics
    /// If `percentile` is not between 0 and 100.
    pub fn at_percentile(percentile: f64) -> Self {
        assert!(percentile > 0.0 && percentile < 100.0, "a percentile lies between 0 and 100");
        Hedge::new(Delay::Percentile(percentile))
    }

    /// No second copy.
    pub fn never() -> Self {
        Hedge::new(Delay::Never)
    }

    /// For steps that show output as they go, such as a model that streams its answer: the second copy starts
    /// when the first has shown none with [`Context::emit`], however long the whole of it may take. The
    /// first copy to show output goes on alone, and no output of the other is ever seen. A copy that succeeds
    /// without any output serves, too. A percentile is one of the times to the first output.
    pub fn first_output(mut self) -> Self {
        self.first_output = true;
        self
    }

    /// The largest share of calls that may be hedged, from 0 to 1: a budget of its own for each step that is
    /// hedged, which holds at most ten.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn max_share(mut self, share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share lies between 0 and 1");
        self.allowance = Allowance::Share(share);
        self
    }

    /// Draws on `budget` for each second copy, and starts none that it does not allow; takes the place of
    /// [`Hedge::max_share`].
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.allowance = Allowance::Budget(budget);
        self
    }
}

/// A step that is hedged; made by [`Step::hedge`].
#[must_use = "a step does nothing until it runs"]
pub struct Hedged<S> {
    step: S,
    delay: KnownDelay,
    budget: RetryBudget,
    /// Whether others draw on the budget as well.
    shared: bool,
    first_output: bool,
}

enum KnownDelay {
    Never,
    After(Duration),
    Percentile(LatencyWindow),
}

impl<S: Step> Hedged<S> {
    pub(crate) fn new(step: S, policy: Hedge) -> Self {
        assert!(
            policy.delay == Delay::Never || step.info().idempotent,
            "hedging runs a step twice: declare it with `.idempotent()` if that does no harm"
        );
        let delay = match policy.delay {
            Delay::Never => KnownDelay::Never,
            Delay::After(delay) => KnownDelay::After(delay),
            Delay::Percentile(percent) => KnownDelay::Percentile(LatencyWindow::new(percent)),
        };
        let (budget, shared) = match policy.allowance {
            Allowance::Share(share) => (RetryBudget::of_hedges(share), false),
            Allowance::Budget(budget) => (budget, true),
        };
        Hedged { step, delay, budget, shared, first_output: policy.first_output }
    }

    /// Learns how long a call took. One that a second copy has cut short counts from its own start, or else
    /// slow calls would drop out of sight and the percentile would sink.
    fn learn<T>(&self, result: &Result<T>, started: Instant, gate: Option<&FirstOutput>) {
        if let KnownDelay::Percentile(learned) = &self.delay
            && result.is_ok()
        {
            let end = gate.and_then(FirstOutput::decided).unwrap_or_else(Instant::now);
            learned.record(end - started);
        }
    }
}

impl<S: Step<In: Clone>> Step for Hedged<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let delay = match &self.delay {
            KnownDelay::Never => return self.step.run(input, cx).await,
            KnownDelay::After(delay) => Some(*delay),
            KnownDelay::Percentile(learned) => learned.get(),
        };
        let paid = if self.shared { cx.paid_into(&self.budget) } else { None };
        let cx = paid.as_ref().unwrap_or(cx);
        if !self.shared {
            self.budget.deposit();
        }
        let started = Instant::now();
        // A copy that could only start after the deadline is no help.
        let delay = delay.filter(|delay| cx.fits(*delay));
        let gate: Option<Arc<FirstOutput>> = self.first_output.then(Arc::default);
        if delay.is_none() && gate.is_none() {
            let result = self.step.run(input, cx).await;
            self.learn(&result, started, None);
            return result;
        }
        let slow = async {
            let Some(delay) = delay else { return pending().await };
            sleep_until(after(started, delay)).await;
            // Timers and the scheduler are late now and then.
            if cx.is_past_deadline() {
                return pending().await;
            }
            match self.budget.take() {
                Some(taken) => {
                    taken.spend();
                    EventKind::Hedged { after: delay }
                }
                None => pending().await,
            }
        };
        let result = seconded(&self.step, input, cx, gate.clone(), slow, ServedBy::Hedge).await;
        self.learn(&result, started, gate.as_deref());
        result
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
