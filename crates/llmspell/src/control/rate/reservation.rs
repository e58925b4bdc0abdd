//! The reservation of one call under a rate, and its settlement.

use std::sync::Arc;

use super::limiter::{Admission, RateLimiter};
use crate::context::{Context, MeterId, Renewal, UsageMeter};
use crate::control::ewma::Ewma;
use crate::error::Result;
use crate::observe::rate_limits::RateLimits;
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, get_mut, lock};

/// The request and the tokens that a call has taken. It lives as long as any work of the call, which may outlive the
/// call.
pub(super) struct RateReservation {
    limiter: Arc<RateLimiter>,
    /// The usual tokens of a call of this step.
    usual_tokens: Arc<Mutex<Ewma>>,
    reserved: u64,
    /// Whether the call has started.
    begun: AtomicBool,
    /// Whether a call further in shares this admission.
    handed_over: AtomicBool,
    usage: Mutex<ReservedUsage>,
}

struct ReservedUsage {
    /// The number of pauses when the admission was granted; `None` once the admission is refunded.
    pauses: Option<u64>,
    /// Tokens that were taken out of the bucket for this call.
    taken: u64,
    used: u64,
    /// Whether the call has reported any usage.
    is_reported: bool,
}

impl ReservedUsage {
    /// Returns the tokens that were taken and not used, if the call has reported its usage.
    fn settle(&mut self) -> u64 {
        if !self.is_reported {
            return 0;
        }
        let unused = self.taken.saturating_sub(self.used);
        self.taken -= unused;
        unused
    }
}

impl RateReservation {
    /// Creates the reservation of an admitted call, which may have started already.
    pub(super) fn new(
        limiter: &Arc<RateLimiter>,
        usual_tokens: &Arc<Mutex<Ewma>>,
        admission: Admission,
        begun: bool,
    ) -> Self {
        let Admission { tokens, pauses, .. } = admission;
        let usage = ReservedUsage { pauses: Some(pauses), taken: tokens, used: 0, is_reported: false };
        RateReservation {
            limiter: limiter.clone(),
            usual_tokens: usual_tokens.clone(),
            reserved: tokens,
            begun: AtomicBool::new(begun),
            handed_over: AtomicBool::new(false),
            usage: Mutex::new(usage),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ReservedUsage> {
        lock(&self.usage)
    }

    /// Refunds the admission, and waits for another one.
    async fn acquire_again(&self, cx: &Context, name: Option<&str>) -> Result<()> {
        let (pauses, taken) = {
            let mut usage = self.lock();
            (usage.pauses.take(), std::mem::take(&mut usage.taken))
        };
        if let Some(pauses) = pauses {
            self.limiter.refund(taken, pauses);
        }
        let admission = self.limiter.acquire(self.reserved, cx, name).await?;
        let mut usage = self.lock();
        usage.pauses = Some(admission.pauses);
        usage.taken = usage.taken.saturating_add(self.reserved);
        Ok(())
    }

    /// Ends the call. If it has reported its usage, unused tokens are refunded. A call that failed before it started
    /// does not count as a call, and is refunded as a whole.
    fn end(&self, has_failed: bool) {
        let never_started = has_failed && !self.begun.load(Ordering::Acquire);
        let mut usage = self.lock();
        if usage.is_reported {
            let used = usage.used;
            let unused = usage.settle();
            drop(usage);
            lock(&self.usual_tokens).add(used as f64);
            self.limiter.refund_tokens(unused);
        } else if never_started && let Some(pauses) = usage.pauses.take() {
            let taken = std::mem::take(&mut usage.taken);
            drop(usage);
            self.limiter.refund(taken, pauses);
        }
    }
}

impl UsageMeter for RateReservation {
    fn id(&self) -> MeterId {
        MeterId::of(&self.limiter)
    }

    fn on_usage(&self, used: Usage) {
        let mut usage = self.lock();
        usage.is_reported = true;
        usage.used = usage.used.saturating_add(used.tokens());
        let excess = usage.used.saturating_sub(usage.taken);
        if excess > 0 {
            usage.taken = usage.used;
            self.limiter.charge_tokens(excess);
        }
    }

    fn on_start(&self) -> bool {
        // Two threads that report it at the same time both report it to the meters further out.
        self.begun.load(Ordering::Acquire) || {
            self.begun.store(true, Ordering::Release);
            false
        }
    }

    /// Shares the admission with a call further in, which would otherwise need its own. Returns true once.
    fn hand_over(&self) -> bool {
        !self.handed_over.swap(true, Ordering::AcqRel)
    }

    /// Whether a pause has begun since the admission, and the call has not started.
    fn is_revoked(&self) -> bool {
        !self.begun.load(Ordering::Acquire) && self.lock().pauses.is_some_and(|pauses| pauses != self.limiter.pauses())
    }

    fn renew<'a>(&'a self, cx: &'a Context, name: Option<&'a str>) -> Renewal<'a> {
        Box::pin(self.acquire_again(cx, name))
    }

    fn on_rate_limits(&self, limits: &RateLimits) -> bool {
        self.limiter.tighten(limits, self.reserved);
        true
    }
}

impl Drop for RateReservation {
    /// No further usage can be reported. This also settles work that reported its usage only after the call had ended.
    fn drop(&mut self) {
        let unused = get_mut(&mut self.usage).settle();
        if unused > 0 {
            self.limiter.refund_tokens(unused);
        }
    }
}

/// A running call under a rate. Dropping it ends the call.
pub(super) struct RateGuard {
    reservation: Arc<RateReservation>,
    has_ended: bool,
}

impl RateGuard {
    pub(super) fn new(reservation: RateReservation) -> Self {
        RateGuard { reservation: Arc::new(reservation), has_ended: false }
    }

    pub(super) fn meter(&self) -> Arc<dyn UsageMeter> {
        self.reservation.clone()
    }

    pub(super) fn end<T>(mut self, result: &Result<T>) {
        self.has_ended = true;
        self.reservation.end(result.is_err());
    }
}

impl Drop for RateGuard {
    fn drop(&mut self) {
        if !self.has_ended {
            self.reservation.end(true);
        }
    }
}
