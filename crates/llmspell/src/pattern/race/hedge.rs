//! Hedged steps: a second copy of a slow call.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::copy::run_with_copy;
use super::latency::LatencyWindow;
use crate::context::{Context, FirstOutput};
use crate::control::retry_budget::RetryBudget;
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::runtime::timing::after;
use crate::step::{Step, StepInfo};

/// The settings of a hedge: when to start a second copy of a call, and how often.
///
/// The second copy starts when the first has been slow for a while. The first to succeed wins, and the other is
/// dropped.
///
/// Each copy costs a call, so only a share of the calls can be hedged: at most [`Hedge::max_share`], by default
/// a tenth. The first call can always be hedged, and at most ten unused copies are carried over from quiet
/// times. [`Hedge::retry_budget`] shares a budget with retries instead. Only steps that are [declared
/// idempotent](Step::idempotent) can be hedged, and no copy is planned that could start only after the
/// deadline.
///
/// `cargo bench -p llmspell --bench hedge` shows its effect on the tail of several distributions, and its cost.
///
/// ```
/// use std::time::Duration;
/// use llmspell::Hedge;
///
/// let fixed = Hedge::after(Duration::from_millis(300)).max_share(0.05);
/// let percentile = Hedge::at_percentile(95.0); // of recent calls
/// let model = Hedge::at_percentile(95.0).first_output(); // of the times to the first token
/// # let _ = (fixed, percentile, model);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a hedge does nothing until a step or a policy uses it"]
pub struct Hedge {
    delay: HedgeDelay,
    allowance: Allowance,
    /// Whether the first output decides.
    first_output: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum HedgeDelay {
    Never,
    After(Duration),
    Percentile(f64),
}

#[derive(Clone, Debug)]
enum Allowance {
    /// A budget of its own for each hedged step.
    Share(f64),
    Budget(RetryBudget),
}

impl Hedge {
    fn new(delay: HedgeDelay) -> Self {
        Hedge { delay, allowance: Allowance::Share(0.1), first_output: false }
    }

    /// Returns a hedge that starts the second copy after `delay`.
    pub fn after(delay: Duration) -> Self {
        Hedge::new(HedgeDelay::After(delay))
    }

    /// Returns a hedge that starts the second copy once the first is slower than `percentile` per cent of
    /// recent calls.
    ///
    /// Recent calls are the last two to four thousand successful calls of the step. The first 20 calls are not
    /// hedged.
    ///
    /// # Panics
    /// If `percentile` is not between 0 and 100.
    pub fn at_percentile(percentile: f64) -> Self {
        assert!(percentile > 0.0 && percentile < 100.0, "a percentile must be between 0 and 100");
        Hedge::new(HedgeDelay::Percentile(percentile))
    }

    /// Returns a hedge that never starts a second copy.
    pub fn never() -> Self {
        Hedge::new(HedgeDelay::Never)
    }

    /// Starts the second copy when the first has emitted no output ([`Context::emit`]), however long the whole
    /// call takes.
    ///
    /// For steps that emit output as they run, such as a model that streams its reply. The first copy to emit
    /// output continues alone, and output of the other is never seen. A copy that succeeds without output wins
    /// as well. A percentile is one of the times to the first output.
    pub fn first_output(mut self) -> Self {
        self.first_output = true;
        self
    }

    /// Sets the largest share of calls that can be hedged, from 0 to 1, as a budget of its own for each hedged
    /// step. The budget holds at most ten copies.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn max_share(mut self, share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share must be between 0 and 1");
        self.allowance = Allowance::Share(share);
        self
    }

    /// Takes each second copy from `budget`, and starts none that it does not allow. Replaces
    /// [`Hedge::max_share`].
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.allowance = Allowance::Budget(budget);
        self
    }
}

/// A hedged step; made by [`Step::hedge`]. Clones share the observed latencies and the budget.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Hedged<S> {
    step: S,
    delay: ActiveDelay,
    budget: RetryBudget,
    /// Whether other steps use the budget as well.
    shared: bool,
    first_output: bool,
}

#[derive(Clone, Debug)]
enum ActiveDelay {
    Never,
    After(Duration),
    Percentile(Arc<LatencyWindow>),
}

impl<S: Step> Hedged<S> {
    pub(crate) fn new(step: S, policy: Hedge) -> Self {
        assert!(
            policy.delay == HedgeDelay::Never || step.info().idempotent,
            "hedging runs a step twice: declare it with `.idempotent()` if that does no harm"
        );
        let delay = match policy.delay {
            HedgeDelay::Never => ActiveDelay::Never,
            HedgeDelay::After(delay) => ActiveDelay::After(delay),
            HedgeDelay::Percentile(percent) => ActiveDelay::Percentile(Arc::new(LatencyWindow::new(percent))),
        };
        let (budget, shared) = match policy.allowance {
            Allowance::Share(share) => (RetryBudget::of_hedges(share), false),
            Allowance::Budget(budget) => (budget, true),
        };
        Hedged { step, delay, budget, shared, first_output: policy.first_output }
    }

    /// Records the latency of a call.
    ///
    /// A call whose second copy won counts from its own start. Otherwise slow calls would be left out and the
    /// percentile would fall.
    fn record_latency<T>(&self, result: &Result<T>, started: Instant, first_output: Option<&FirstOutput>) {
        if let ActiveDelay::Percentile(latencies) = &self.delay
            && result.is_ok()
        {
            let end = first_output.and_then(FirstOutput::decided_at).unwrap_or_else(Instant::now);
            latencies.record(end - started);
        }
    }
}

impl<S: Step<In: Clone>> Step for Hedged<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let delay = match &self.delay {
            ActiveDelay::Never => return self.step.run(input, cx).await,
            ActiveDelay::After(delay) => Some(*delay),
            ActiveDelay::Percentile(latencies) => latencies.get(),
        };
        let deposited = if self.shared { self.budget.deposit_once(cx) } else { None };
        let cx = deposited.as_ref().unwrap_or(cx);
        if !self.shared {
            self.budget.deposit();
        }
        let started = Instant::now();
        // A copy that could start only after the deadline is useless.
        let delay = delay.filter(|delay| cx.fits(*delay));
        let first_output: Option<Arc<FirstOutput>> = self.first_output.then(Arc::default);
        if delay.is_none() && first_output.is_none() {
            let result = self.step.run(input, cx).await;
            self.record_latency(&result, started, None);
            return result;
        }
        let slow = async {
            let Some(delay) = delay else { return pending().await };
            sleep_until(after(started, delay)).await;
            // Timers and the scheduler can be late.
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
        let result = run_with_copy(&self.step, input, cx, first_output.clone(), slow, ServedBy::Hedge).await;
        self.record_latency(&result, started, first_output.as_deref());
        result
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
