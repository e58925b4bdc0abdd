//! A budget: a cap on what calls use in all, in tokens, cost or both.
//!
//! - *Reserve*: each call reserves the usage that is expected of it, and settles by the usage that it reports
//!   ([`Context::record_usage`](crate::Context::record_usage)).
//! - *Wait*: a call that does not fit waits for calls in flight, as long as what they leave of their reservations may
//!   be enough.
//! - *Reject*: once there is not enough for another call, calls fail with
//!   [`ErrorKind::Rejected`](crate::ErrorKind::Rejected). A [stream](crate::pattern::stream::Streaming::budget) ends the admission of
//!   inputs instead, and delivers what is in flight.
//!
//! ```
//! use llmspell::{Budget, Context, Step, step};
//! use llmspell::observe::Usage;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let ask = step(|question: u32, cx: Context| async move {
//!     cx.record_usage(Usage::new(300, 100).with_cost(0.01)); // as the reply says
//!     Ok(question)
//! });
//! let budget = Budget::builder().tokens(1_000_000).cost(0.05).build(); // whichever is exhausted first
//! let mut answers = ask.stream(0..1000, &Context::new()).limit(4).budget(budget.clone());
//! let mut delivered = 0;
//! while let Some(outcome) = answers.next().await {
//!     outcome.result?;
//!     delivered += 1;
//! }
//! assert_eq!((delivered, budget.spent().tokens()), (5, 2_000));
//! println!("{}", answers.stopped().unwrap()); // budget exhausted: 2000 of 1000000 tokens and …
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod caps;
mod ledger;
mod reservation;
mod stream;
mod with_budget;

use std::fmt;
use std::sync::Arc;

pub(crate) use reservation::BudgetGuard;
pub(crate) use stream::{StreamBudget, StreamReservations};
pub use with_budget::WithBudget;

use crate::observe::cost::Cost;
use crate::observe::usage::Usage;
use caps::Caps;
use ledger::BudgetLedger;

/// A cap on the tokens, the cost, or both, that the calls of a run use in all.
///
/// Clones share what is spent and reserved, so one budget can stand for a whole run, whatever its steps.
///
/// A call is admitted if the spent usage, the reservations of calls in flight and its own expected usage stay within
/// the cap. So calls exceed the cap by at most what those in flight use beyond their expectation. If
/// [estimates](Budget::estimate) are never too low, they never exceed it. A call that does not fit waits while calls in
/// flight may leave something of their reservations, and is rejected once they cannot.
///
/// - A call that ends without reporting its usage counts as its expected usage if it succeeded, timed out or was
///   dropped, because it may have to be paid for. A call that failed in another way counts as nothing. So does a call
///   that never [started](crate::Rate), because it was dropped or rejected while it waited further in, for a rate or a
///   permit.
/// - Usage that is reported after the end of a call, by work that could not be stopped, is spent as well.
/// - A call inside a call, or inside an item of a stream, under the same budget is part of the outer one. It reserves
///   nothing itself, and is rejected only once everything is spent.
///
/// ```
/// use llmspell::{Budget, Step, step};
/// use llmspell::observe::{Cost, Usage};
///
/// let budget = Budget::cost(5.0).estimate(Usage::new(800, 400).with_cost(0.01));
/// let ask = step(|question: String, _| async move { Ok(question) }).budget(budget.clone());
/// assert_eq!(budget.remaining_cost(), Some(Cost::new(5.0)));
/// # let _ = ask;
/// ```
#[derive(Clone)]
#[must_use = "a budget does nothing until a step, a stream or a policy has it"]
pub struct Budget {
    caps: Caps,
    /// `None` if there is no cap.
    ledger: Option<Arc<BudgetLedger>>,
    estimate: Option<Usage>,
}

impl Budget {
    /// Creates a budget of `cap` tokens, input and output.
    pub fn tokens(cap: u64) -> Self {
        Budget::builder().tokens(cap).build()
    }

    /// Creates a budget of `cap` in cost, in the unit in which steps report [theirs](Usage::cost).
    ///
    /// # Panics
    /// If `cap` is negative or not finite.
    #[track_caller]
    pub fn cost(cap: impl TryInto<Cost>) -> Self {
        Budget::builder().cost(cap).build()
    }

    /// Creates a budget without a cap.
    pub fn unlimited() -> Self {
        Budget::builder().build()
    }

    /// Returns a builder for a budget with several caps.
    pub fn builder() -> BudgetBuilder {
        BudgetBuilder { caps: Caps::default() }
    }

    /// Estimates that a call, or an item of a [stream](crate::pattern::stream::Streaming::budget), uses this much. The estimate belongs
    /// to this clone; the cap is shared. An estimate [from the input](WithBudget::estimate) takes precedence.
    ///
    /// Without an estimate, the budget learns a moving average from the calls under it. Before the first of them has
    /// reported its usage, calls run one at a time; each that ends without a report lets one more run.
    pub fn estimate(mut self, usage: Usage) -> Self {
        self.estimate = Some(usage);
        self
    }

    /// Returns what is spent so far: the usage that calls have reported, and the expected usage of those that ended
    /// without a report.
    pub fn spent(&self) -> Usage {
        self.ledger.as_ref().map(|ledger| ledger.spent()).unwrap_or_default()
    }

    /// Returns how many calls wait for what others may leave of their reservations. Streams are not among them: they do
    /// not wait in the queue.
    pub fn waiting(&self) -> usize {
        self.ledger.as_ref().map_or(0, |ledger| ledger.waiting())
    }

    /// Returns how many tokens are neither spent nor reserved; `None` if tokens have no cap.
    pub fn remaining_tokens(&self) -> Option<u64> {
        let (cap, ledger) = (self.caps.tokens?, self.ledger.as_ref()?);
        Some(cap.saturating_sub(ledger.committed().tokens()))
    }

    /// Returns how much of the cost is neither spent nor reserved; `None` if cost has no cap.
    pub fn remaining_cost(&self) -> Option<Cost> {
        let (cap, ledger) = (self.caps.cost?, self.ledger.as_ref()?);
        Some(cap.saturating_sub(ledger.committed().cost))
    }
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

/// The caps of a [`Budget`] before it is built and can be shared; created by [`Budget::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct BudgetBuilder {
    caps: Caps,
}

impl BudgetBuilder {
    /// Caps the tokens of all calls, input and output.
    pub fn tokens(mut self, cap: u64) -> Self {
        self.caps.tokens = Some(cap);
        self
    }

    /// Caps the cost of all calls, in the unit in which steps report [theirs](Usage::cost).
    ///
    /// # Panics
    /// If `cap` is negative or not finite.
    #[track_caller]
    pub fn cost(mut self, cap: impl TryInto<Cost>) -> Self {
        let Ok(cap) = cap.try_into() else { panic!("a budget must be a finite number of at least 0") };
        self.caps.cost = Some(cap);
        self
    }

    /// Creates the budget. Its clones share what is spent and reserved.
    pub fn build(self) -> Budget {
        let BudgetBuilder { caps } = self;
        let ledger = (caps != Caps::default()).then(|| Arc::new(BudgetLedger::new(caps)));
        Budget { caps, ledger, estimate: None }
    }
}
