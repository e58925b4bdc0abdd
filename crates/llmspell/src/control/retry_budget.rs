//! A budget that the retries and hedges of many calls share.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::context::{Context, RetryDeposit};
use crate::runtime::sync::atomic::{AtomicU64, Ordering};

/// A retry budget: how many attempts a service gets beyond its calls. All retries and hedges of these calls draw on it.
///
/// The budget is a bucket that starts full. Each call deposits its share, each second adds the reserve, and the burst
/// is the size of the bucket. A retry or a second copy takes one attempt out. So in any time, against a service that
/// always fails, there are at most
///
/// (1 + share) × calls + reserve × seconds + burst
///
/// attempts, however many each call could make. Clones share the bucket: give one to every step that calls the same
/// service. A call that retries *and* hedges deposits its share once. So does a call with inner calls that draw on the
/// same budget. An item of a stream is a call of its own.
///
/// A retry budget does not replace the bound on the attempts [of one call](crate::Retry::max_attempts). That bound
/// keeps nested retries from multiplying; the budget bounds what many calls do together.
///
/// It follows the `RetryBudget` of Finagle (Oliver, "Retry Budgets", 2016), whose default is a share of 0.2 and a
/// reserve of 10. There, a share expires ten seconds after its deposit; here, as in the AWS SDKs, the bucket has a
/// size. A call to a model may take longer than ten seconds to fail, and its own share would have expired. And what a
/// busy service can save up in ten seconds is a flood when it comes at once.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Hedge, Policy, Retry, Step, step};
/// use llmspell::control::RetryBudget;
///
/// let budget = RetryBudget::builder(0.2).reserve(1.0).build();
/// let policy = Policy::new()
///     .retry(Retry::exponential())
///     .hedge(Hedge::at_percentile(95.0))
///     .retry_budget(budget); // shared by both, and by every other step that has it
/// let ask = step(|question: String, _| async move { Ok(question) }).idempotent().policy(policy);
/// # let _ = ask;
/// ```
#[derive(Clone)]
#[must_use = "a retry budget does nothing until a retry, a hedge or a policy has it"]
pub struct RetryBudget(Arc<RetryBucket>);

struct RetryBucket {
    terms: RetryTerms,
    /// The content of the bucket, in parts.
    balance: AtomicU64,
    origin: Instant,
    /// The time up to which the reserve is added, in nanoseconds since the origin.
    filled_until: AtomicU64,
}

/// The settings of a bucket, in parts of an attempt.
#[derive(Clone, Copy)]
struct RetryTerms {
    share: u64,
    /// Per second.
    reserve: u64,
    burst: u64,
}

/// The parts of an attempt. Fractions of attempts are whole numbers of parts, so that their sums are exact.
const PARTS: u64 = 1_000_000_000;

/// The default burst: the retries that a full bucket of the AWS SDKs allows (500 tokens at 5 per retry), and those that
/// the default reserve of Finagle allows in its ten seconds.
const DEFAULT_BURST: u32 = 100;

impl RetryBudget {
    /// Creates a budget that gives each call this share of another attempt, from 0 to 1 and kept to nine decimal places.
    /// It starts with 100 attempts; see [`RetryBudgetBuilder::burst`].
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn share(share: f64) -> Self {
        RetryBudget::builder(share).build()
    }

    /// Returns a builder for a budget with this share, and with a reserve or a burst of its own.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn builder(share: f64) -> RetryBudgetBuilder {
        let terms = RetryTerms { share: share_in_parts(share), reserve: 0, burst: u64::from(DEFAULT_BURST) * PARTS };
        RetryBudgetBuilder { terms }
    }

    /// Creates the budget of a single hedge. The first call can be hedged whatever the share. Few second copies can be
    /// saved up, because they start when a service has become slow.
    pub(crate) fn of_hedges(share: f64) -> Self {
        const HEDGE_BURST: u64 = 10;
        let share = share_in_parts(share);
        // The first call deposits the rest.
        let balance = if share > 0 { PARTS - share } else { 0 };
        RetryBudget::new(RetryTerms { share, reserve: 0, burst: HEDGE_BURST * PARTS }, balance)
    }

    fn new(terms: RetryTerms, balance: u64) -> Self {
        RetryBudget(Arc::new(RetryBucket {
            terms,
            balance: AtomicU64::new(balance),
            origin: Instant::now(),
            filled_until: AtomicU64::new(0),
        }))
    }

    /// Returns how many retries and second copies the budget allows now.
    pub fn available(&self) -> u64 {
        self.fill();
        self.0.balance.load(Ordering::Relaxed) / PARTS
    }

    /// Deposits the share of a call and returns its context; `None` if an enclosing call has already deposited.
    pub(crate) fn deposit_once(&self, cx: &Context) -> Option<Context> {
        cx.deposit_into(&self.0)
    }

    /// Deposits the share of a call. The caller ensures that a call does so once; see [`RetryBudget::deposit_once`].
    pub(crate) fn deposit(&self) {
        self.0.deposit();
    }

    /// Takes one attempt, if there is one left.
    pub(crate) fn take(&self) -> Option<RetryPermit<'_>> {
        self.fill();
        // One atomic step, so that no two callers take the same attempt.
        let taken =
            self.0.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| balance.checked_sub(PARTS));
        taken.ok().map(|_| RetryPermit(Some(self)))
    }

    /// Adds the reserve of the time since the last fill. Each nanosecond is claimed by one caller. Until that caller
    /// has added it, others see too little, never too much.
    fn fill(&self) {
        let reserve = u128::from(self.0.terms.reserve);
        if reserve == 0 {
            return;
        }
        let now = u64::try_from(Instant::now().saturating_duration_since(self.0.origin).as_nanos()).unwrap_or(u64::MAX);
        let before = self.0.filled_until.fetch_max(now, Ordering::Relaxed);
        if now > before {
            // The difference of two totals, so that nothing is lost to rounding.
            let total = |nanos: u64| u128::from(nanos) * reserve / 1_000_000_000;
            self.0.add(u64::try_from(total(now) - total(before)).unwrap_or(u64::MAX));
        }
    }
}

impl RetryBucket {
    fn add(&self, parts: u64) {
        let burst = self.terms.burst;
        let added = |balance: u64| (balance < burst && parts > 0).then(|| balance.saturating_add(parts).min(burst));
        // An error only means that the bucket is full.
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

impl RetryDeposit for RetryBucket {
    fn deposit(&self) {
        self.add(self.terms.share);
    }
}

/// The terms of a [`RetryBudget`] before it is built and can be shared; created by [`RetryBudget::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RetryBudgetBuilder {
    terms: RetryTerms,
}

impl RetryBudgetBuilder {
    /// Adds this many attempts per second, however few calls there are. The default is 0.
    ///
    /// # Panics
    /// If `per_second` is negative or more than a million.
    #[track_caller]
    pub fn reserve(mut self, per_second: f64) -> Self {
        assert!((0.0..=1e6).contains(&per_second), "a reserve must be between 0 and a million per second");
        self.terms.reserve = in_parts(per_second);
        self
    }

    /// Sets how many attempts can be saved up, which is also the number at the start. The default is 100.
    ///
    /// # Panics
    /// If `attempts` is 0.
    #[track_caller]
    pub fn burst(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a budget with a burst of 0 could never hold a whole attempt: use `Retry::never`");
        self.terms.burst = u64::from(attempts) * PARTS;
        self
    }

    /// Creates the budget, full. Its clones share the bucket.
    pub fn build(self) -> RetryBudget {
        RetryBudget::new(self.terms, self.terms.burst)
    }
}

impl fmt::Debug for RetryBudgetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.debug(f, "RetryBudgetBuilder").finish()
    }
}

fn share_in_parts(share: f64) -> u64 {
    assert!((0.0..=1.0).contains(&share), "a share must be between 0 and 1");
    in_parts(share)
}

/// Returns attempts in parts, rounded down so that no bound is exceeded. The added thousandth of a part corrects
/// numbers such as 0.29, whose binary value is slightly less.
fn in_parts(attempts: f64) -> u64 {
    (attempts * PARTS as f64 + 1e-3) as u64
}

impl RetryTerms {
    fn debug<'a, 'b>(&self, f: &'a mut fmt::Formatter<'b>, name: &str) -> fmt::DebugStruct<'a, 'b> {
        let attempts = |parts: u64| parts as f64 / PARTS as f64;
        let mut debug = f.debug_struct(name);
        debug
            .field("share", &attempts(self.share))
            .field("reserve", &attempts(self.reserve))
            .field("burst", &attempts(self.burst));
        debug
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.terms.debug(f, "RetryBudget").field("available", &self.available()).finish()
    }
}

/// The permission for one further attempt. It is returned to the budget if it is dropped before the attempt is made.
#[must_use = "the attempt is returned when this is dropped"]
pub(crate) struct RetryPermit<'a>(Option<&'a RetryBudget>);

impl RetryPermit<'_> {
    /// Notes that the attempt starts.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for RetryPermit<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.0.add(PARTS);
        }
    }
}
