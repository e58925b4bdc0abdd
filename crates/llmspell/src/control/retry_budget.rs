//! One budget for the retries and the second copies of many calls.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::runtime::sync::atomic::{AtomicU64, Ordering};

/// How much a service may be asked beyond the calls that are made of it: all retries and all second copies
/// of these calls draw on it together.
///
/// A bucket that starts full. Each call puts in its share, each second puts in the reserve, and what is more
/// than the burst runs over; a retry or a second copy takes out one. So in any time, against a service that
/// always fails, there are at most
///
/// (1 + share) × calls + reserve × seconds + burst
///
/// attempts, however many each call would like to make. Clones share the bucket: give one to everything that
/// calls the same service. A call that retries *and* hedges puts its share in once, and so does one with
/// other calls inside that draw on the same budget; an item of a stream is a call of its own.
///
/// It does not replace the bound on the attempts [of one call](crate::Retry::max_attempts): that one keeps
/// nested retries from multiplying, this one keeps many calls from doing together what each of them may.
///
/// After the `RetryBudget` of Finagle (Oliver, "Retry Budgets", 2016), whose default is
/// `share(0.2).reserve(10.0)`. There, a share expires ten seconds after it was put in; here, as in the AWS
/// SDKs, the bucket has a size. A call to a model may take longer than ten seconds to fail, and would find its
/// own share gone; and what a busy service can save up in ten seconds is a flood when it comes at once.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Hedge, Policy, Retry, RetryBudget, Step, step};
///
/// let budget = RetryBudget::share(0.2).reserve(1.0);
/// let policy = Policy::new()
///     .retry(Retry::exponential())
///     .hedge(Hedge::at_percentile(95.0))
///     .retry_budget(budget); // for both of them, and for every other step that is given it
/// let ask = step(|question: String, _| async move { Ok(question) }).idempotent().policy(policy);
/// # let _ = ask;
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until a step, a stream or a policy has it"]
pub struct RetryBudget(Arc<Bucket>);

struct Bucket {
    terms: Terms,
    /// What is in it, in parts.
    credit: AtomicU64,
    origin: Instant,
    /// Up to when the reserve is in it, in nanoseconds since the origin.
    filled: AtomicU64,
}

/// All in parts of an attempt.
#[derive(Clone, Copy)]
struct Terms {
    share: u64,
    /// In a second.
    reserve: u64,
    burst: u64,
}

/// Fractions of attempts are whole numbers of parts, so that sums of them are exact.
const PARTS: u64 = 1_000_000_000;

/// The default burst: what a full bucket of the AWS SDKs is good for (500 tokens at 5 a retry), and what the
/// default reserve of Finagle allows in its ten seconds.
const BURST: u32 = 100;

impl RetryBudget {
    /// For each call this share of another attempt, from 0 to 1, kept to nine decimal places; and 100 to
    /// begin with, see [`RetryBudget::burst`].
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn share(share: f64) -> Self {
        let burst = u64::from(BURST) * PARTS;
        RetryBudget::of(Terms { share: share_in_parts(share), reserve: 0, burst }, burst)
    }

    /// So many attempts in each second besides, however few calls there are. The default is 0.
    ///
    /// # Panics
    /// If `per_second` is negative or more than a million, or if it has been cloned: clones share the bucket.
    #[track_caller]
    pub fn reserve(self, per_second: f64) -> Self {
        assert!((0.0..=1e6).contains(&per_second), "a reserve lies between 0 and a million a second");
        self.edit(|terms| terms.reserve = in_parts(per_second))
    }

    /// How many attempts a quiet time can save up, and how many there are to begin with. The default is 100.
    ///
    /// # Panics
    /// If `attempts` is 0, or if it has been cloned: clones share the bucket.
    #[track_caller]
    pub fn burst(self, attempts: u32) -> Self {
        assert!(attempts > 0, "a budget with a burst of 0 could never hold a whole attempt: use `Retry::never`");
        self.edit(|terms| terms.burst = u64::from(attempts) * PARTS)
    }

    /// Changes the terms. Were it done on one of several clones, that one would part from the others unseen.
    #[track_caller]
    fn edit(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        let bucket = Arc::get_mut(&mut self.0);
        let bucket = bucket.expect("configure a `RetryBudget` before it is cloned: clones share its state");
        change(&mut bucket.terms);
        RetryBudget::of(bucket.terms, bucket.terms.burst)
    }

    /// The budget of a hedge alone: the first call may be hedged whatever the share, and few second copies
    /// can be saved up, for they come when a service has turned slow.
    pub(crate) fn of_hedges(share: f64) -> Self {
        const BURST_OF_HEDGES: u64 = 10;
        let share = share_in_parts(share);
        // The first call brings the rest.
        let credit = if share > 0 { PARTS - share } else { 0 };
        RetryBudget::of(Terms { share, reserve: 0, burst: BURST_OF_HEDGES * PARTS }, credit)
    }

    fn of(terms: Terms, credit: u64) -> Self {
        RetryBudget(Arc::new(Bucket {
            terms,
            credit: AtomicU64::new(credit),
            origin: Instant::now(),
            filled: AtomicU64::new(0),
        }))
    }

    /// How many retries and second copies it would allow now.
    pub fn available(&self) -> u64 {
        self.fill();
        self.0.credit.load(Ordering::Relaxed) / PARTS
    }

    /// Whether the two are one.
    pub(crate) fn is_same(&self, other: &RetryBudget) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Puts in the share of a call. Callers make sure that a call does so once; see
    /// [`Context::deposit_into`](crate::Context::deposit_into).
    pub(crate) fn deposit(&self) {
        self.add(self.0.terms.share);
    }

    /// Takes out one attempt, if there is one left.
    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        self.fill();
        // One step, so that no two callers take the same.
        let taken =
            self.0.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(PARTS));
        taken.ok().map(|_| Taken(Some(self)))
    }

    /// Puts in what the time since the last look has brought. Each nanosecond is claimed by one caller; while
    /// it has not been put in yet, others see too little, never too much.
    fn fill(&self) {
        let reserve = u128::from(self.0.terms.reserve);
        if reserve == 0 {
            return;
        }
        let now = u64::try_from(Instant::now().saturating_duration_since(self.0.origin).as_nanos()).unwrap_or(u64::MAX);
        let before = self.0.filled.fetch_max(now, Ordering::Relaxed);
        if now > before {
            // The difference of two totals, so that nothing is lost to rounding.
            let total = |nanos: u64| u128::from(nanos) * reserve / 1_000_000_000;
            self.add(u64::try_from(total(now) - total(before)).unwrap_or(u64::MAX));
        }
    }

    fn add(&self, parts: u64) {
        let burst = self.0.terms.burst;
        let more = |credit: u64| (credit < burst && parts > 0).then(|| credit.saturating_add(parts).min(burst));
        // An error only says that it is full.
        let _ = self.0.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

fn share_in_parts(share: f64) -> u64 {
    assert!((0.0..=1.0).contains(&share), "a share lies between 0 and 1");
    in_parts(share)
}

/// Rounded down, so that nothing is exceeded; the thousandth of a part makes up for figures such as 0.29, which
/// are a little less than they say in binary.
fn in_parts(attempts: f64) -> u64 {
    (attempts * PARTS as f64 + 1e-3) as u64
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = |parts: u64| parts as f64 / PARTS as f64;
        f.debug_struct("RetryBudget")
            .field("share", &attempts(self.0.terms.share))
            .field("reserve", &attempts(self.0.terms.reserve))
            .field("burst", &attempts(self.0.terms.burst))
            .field("available", &self.available())
            .finish()
    }
}

/// An attempt that was taken out of a budget. It goes back if it is dropped before it is made.
#[must_use = "the attempt goes back when this is dropped"]
pub(crate) struct Taken<'a>(Option<&'a RetryBudget>);

impl Taken<'_> {
    /// The attempt begins.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.add(PARTS);
        }
    }
}
