//! A cap on what calls may use in all: tokens, money, or both.
//!
//! *Waits for* calls in flight, if what they leave of their reservations may be enough for another.
//! *Reserves* before each call what it is expected to use, and settles by what it says to have used
//! ([`Context::record_usage`]).
//! *Fails with* [`ErrorKind::Rejected`](crate::ErrorKind::Rejected) once there is not enough for another call. On a
//! [stream](crate::Streaming::budget) it ends the admission of inputs instead, and what is in flight is
//! delivered.
//!
//! ```
//! use llmspell::{Budget, Context, Step, Usage, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let ask = step(|question: u32, cx: Context| async move {
//!     cx.record_usage(Usage::new(300, 100).with_cost(0.01)); // as the answer says
//!     Ok(question)
//! });
//! let budget = Budget::tokens(1_000_000).or_cost(0.05); // whichever is used up first
//! let mut answers = ask.stream(0..1000, &Context::new()).limit(4).budget(budget.clone());
//! let mut delivered = 0;
//! while let Some(outcome) = answers.next().await {
//!     outcome.result?;
//!     delivered += 1;
//! }
//! assert_eq!((delivered, budget.spent().tokens()), (5, 2_000));
//! println!("{}", answers.stopped().unwrap()); // the budget is used up: 2000 of 1000000 tokens and …
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod caps;
mod ledger;
mod reservation;
mod stream_reservations;

use std::fmt;
use std::sync::Arc;

pub(crate) use reservation::BudgetGuard;
pub(crate) use stream_reservations::StreamReservations;

use crate::context::{AdmissionGate, Context, MeterId};
use crate::error::{Error, Result};
use crate::observe::cost::Cost;
use crate::observe::event::{EventKind, RejectedBy};
use crate::observe::usage::Usage;
use crate::step::{Step, StepInfo};
use caps::Caps;
use ledger::BudgetLedger;
use reservation::BudgetReservation;

/// How much the calls of a run may use: tokens, cost, or both.
///
/// Clones share what there is, so one budget can stand for a whole run, whatever its steps. Set its caps before
/// cloning: [`Budget::or_tokens`] and [`Budget::or_cost`] panic on a budget that is shared.
///
/// A call is admitted if what is spent, what calls in flight have reserved and what it is expected to use itself
/// stay within the cap. So the cap is never exceeded by more than what the calls in flight use beyond what was
/// expected of them: by nothing, if [estimates](Budget::estimate) are never too low. A call that does not fit
/// waits while calls in flight may leave something of their reservations, and is refused once that is in vain.
///
/// - A call that ends without saying what it used counts as what was expected, if it succeeded, timed out or
///   was dropped: it may have been paid for. One that failed in another way counts as nothing, and so does one that
///   never [went out](crate::Rate), but was dropped or refused while it waited further in, for a rate or a permit.
/// - What is used after the end of a call, by work that could not be stopped, is spent all the same.
/// - A call inside of a call, or of an item of a stream, that runs under the same budget already, is part of
///   that one: it reserves nothing of its own, and is refused only once everything is spent.
///
/// ```
/// use llmspell::{Budget, Cost, Step, Usage, step};
///
/// let budget = Budget::cost(5.0).estimate(Usage::new(800, 400).with_cost(0.01));
/// let ask = step(|question: String, _| async move { Ok(question) }).budget(budget.clone());
/// assert_eq!(budget.remaining_cost(), Some(Cost::new(5.0)));
/// # let _ = ask;
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct Budget {
    caps: Caps,
    /// `None` if there is no cap.
    purse: Option<Arc<BudgetLedger>>,
    estimate: Option<Usage>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("caps", &self.caps)
            .field("spent", &self.spent())
            .field("estimate", &self.estimate)
            .finish()
    }
}

impl Budget {
    /// At most so many tokens, in and out.
    pub fn tokens(cap: u64) -> Self {
        Budget::unlimited().or_tokens(cap)
    }

    /// At most this cost, in the unit in which the steps say [theirs](Usage::cost).
    ///
    /// # Panics
    /// If `cap` is negative or no number.
    #[track_caller]
    pub fn cost(cap: impl TryInto<Cost>) -> Self {
        Budget::unlimited().or_cost(cap)
    }

    /// No cap.
    pub fn unlimited() -> Self {
        Budget { caps: Caps::default(), purse: None, estimate: None }
    }

    /// At most so many tokens, as well.
    ///
    /// # Panics
    /// If it has been cloned: clones share their state.
    #[track_caller]
    pub fn or_tokens(self, cap: u64) -> Self {
        let caps = Caps { tokens: Some(cap), ..self.caps };
        self.with(caps)
    }

    /// At most this cost, as well.
    ///
    /// # Panics
    /// If `cap` is negative or no number, or if it has been cloned: clones share their state.
    #[track_caller]
    pub fn or_cost(self, cap: impl TryInto<Cost>) -> Self {
        let Ok(cap) = cap.try_into() else { panic!("a budget must be a number, and not below 0") };
        let caps = Caps { cost: Some(cap), ..self.caps };
        self.with(caps)
    }

    #[track_caller]
    fn with(self, caps: Caps) -> Self {
        let is_shared = self.purse.as_ref().is_some_and(|purse| Arc::strong_count(purse) > 1);
        assert!(!is_shared, "set the caps of a `Budget` before it is cloned: clones share its state");
        Budget { caps, purse: Some(Arc::new(BudgetLedger::new(caps))), ..self }
    }

    /// Expects a call, or an item of a [stream](crate::Streaming::budget), to use this much. For this clone
    /// alone; the cap is still shared. What is [told](Budgeted::estimate) from the input comes first.
    ///
    /// Without an estimate the budget learns from the calls under it, as a moving average. Before the first of
    /// them has said what it used, calls go one at a time; each that ends without a word lets one more go.
    pub fn estimate(mut self, usage: Usage) -> Self {
        self.estimate = Some(usage);
        self
    }

    /// What is spent so far: what calls have said that they used, and what was expected of those that have ended
    /// without a word.
    pub fn spent(&self) -> Usage {
        self.purse.as_ref().map(|purse| purse.spent()).unwrap_or_default()
    }

    /// How many calls wait for what others may leave of their reservations. Streams, which do not wait in line, are
    /// not among them.
    pub fn waiting(&self) -> usize {
        self.purse.as_ref().map_or(0, |purse| purse.waiting())
    }

    /// How many tokens are neither spent nor reserved; `None` if they have no cap.
    pub fn remaining_tokens(&self) -> Option<u64> {
        let (cap, purse) = (self.caps.tokens?, self.purse.as_ref()?);
        Some(cap.saturating_sub(purse.taken().tokens()))
    }

    /// How much of the cost is neither spent nor reserved; `None` if it has no cap.
    pub fn remaining_cost(&self) -> Option<Cost> {
        let (cap, purse) = (self.caps.cost?, self.purse.as_ref()?);
        Some(cap.saturating_sub(purse.taken().cost))
    }

    /// What a stream that runs under `cx` needs to have this budget for its items.
    pub(crate) fn for_stream(self, cx: &Context) -> StreamBudget {
        match self.purse.clone() {
            None => StreamBudget::Unlimited,
            Some(purse) if cx.is_metered_for(MeterId::of(&purse)) => {
                StreamBudget::AdmissionGate(Arc::new(ExhaustedGate(purse)))
            }
            Some(purse) => StreamBudget::StreamReservations(Arc::new(StreamReservations::new(self, purse))),
        }
    }
}

/// A budget as a stream sees it.
pub(crate) enum StreamBudget {
    Unlimited,
    /// The stream is part of a call that has its reservation.
    AdmissionGate(Arc<dyn AdmissionGate>),
    StreamReservations(Arc<StreamReservations>),
}

/// Closed once everything is spent.
struct ExhaustedGate(Arc<BudgetLedger>);

impl AdmissionGate for ExhaustedGate {
    fn close_reason(&self) -> Option<Error> {
        self.0.exhausted()
    }
}

/// A step under a budget; made by [`Step::budget`].
#[must_use = "a step does nothing until it runs"]
pub struct WithBudget<S: Step> {
    step: S,
    budget: Budget,
    estimate: Option<Arc<Estimate<S::In>>>,
    /// Whether it is for this one to say that a call has begun.
    reports_start: bool,
}

type Estimate<In> = dyn Fn(&In) -> Usage + Send + Sync;

impl<S: Step + Clone> Clone for WithBudget<S> {
    fn clone(&self) -> Self {
        WithBudget {
            step: self.step.clone(),
            budget: self.budget.clone(),
            estimate: self.estimate.clone(),
            reports_start: self.reports_start,
        }
    }
}

impl<S: Step> WithBudget<S> {
    pub(crate) fn new(step: S, budget: Budget) -> Self {
        let reports_start = budget.purse.is_some() && !step.info().reports_start;
        WithBudget { step, budget, estimate: None, reports_start }
    }

    /// Tells from the input what a call will use.
    pub fn estimate(mut self, usage: impl Fn(&S::In) -> Usage + Send + Sync + 'static) -> Self {
        self.estimate = Some(Arc::new(usage));
        self
    }
}

impl<S: Step> Step for WithBudget<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(purse) = &self.budget.purse else { return self.step.run(input, cx).await };
        if cx.is_metered_for(MeterId::of(purse)) {
            if let Some(error) = purse.exhausted() {
                cx.record_event(|| EventKind::Refused { step: None, by: RejectedBy::Budget, error: (&error).into() });
                return Err(error.at(|| cx.path()));
            }
            if self.reports_start {
                cx.report_start();
            }
            return self.step.run(input, cx).await;
        }
        let expected = self.estimate.as_ref().map(|estimate| estimate(&input)).or(self.budget.estimate);
        let (mut ticket, waited) = purse.reserve(expected, cx, self.step.info().name).await?;
        if waited && cx.is_revoked() {
            ticket = Box::pin(self.reserve_again(purse, expected, ticket, cx)).await?;
        }
        if self.reports_start {
            cx.report_start();
        }
        let call = BudgetGuard::new(ticket, self.reports_start);
        let result = self.step.run(input, &cx.with_meter(call.meter())).await;
        call.end(result.as_ref().err());
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let about = self.step.info();
        if self.budget.purse.is_some() { about.reporting_start() } else { about }
    }
}

impl<S: Step> WithBudget<S> {
    /// Puts a reservation back, because a rate further out has called the call back meanwhile, and waits for both.
    async fn reserve_again(
        &self,
        purse: &Arc<BudgetLedger>,
        expected: Option<Usage>,
        mut lost: BudgetReservation,
        cx: &Context,
    ) -> Result<BudgetReservation> {
        let name = self.step.info().name;
        loop {
            drop(lost);
            cx.renew_reservations(name).await?;
            (lost, _) = purse.reserve(expected, cx, name).await?;
            if !cx.is_revoked() {
                return Ok(lost);
            }
        }
    }
}
