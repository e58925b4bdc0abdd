//! One call under a rate: the turn that it has had, and what it came to.

use std::sync::Arc;

use super::RateLimits;
use super::limiter::{Admission, RateLimiter};
use crate::context::{Context, MeterId, Renewal, UsageMeter};
use crate::control::ewma::Average;
use crate::error::Result;
use crate::observe::usage::Usage;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, lock, unlocked};

/// What a call has taken out of the buckets, as the work inside of it sees it: for as long as any of that is
/// left, also after the call.
pub(crate) struct RateReservation {
    door: Arc<RateLimiter>,
    /// What calls of this step usually use.
    average: Arc<Mutex<Average>>,
    reserved: u64,
    /// Whether the call has gone out.
    begun: AtomicBool,
    /// Whether a call further in goes with this turn.
    handed_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// `None` while the turn is lost; how many pauses there had been when it was had.
    pauses: Option<u64>,
    /// Tokens out of the bucket on behalf of this call.
    taken: u64,
    used: u64,
    /// Whether the call has said anything about what it used.
    told: bool,
}

impl State {
    /// What was taken and not used, if anything is known of what was.
    fn settle(&mut self) -> u64 {
        if !self.told {
            return 0;
        }
        let unused = self.taken.saturating_sub(self.used);
        self.taken -= unused;
        unused
    }
}

impl RateReservation {
    /// The turn of a call that has taken its request and `reserved` tokens, and perhaps has begun.
    pub(super) fn new(
        door: &Arc<RateLimiter>,
        average: &Arc<Mutex<Average>>,
        admission: Admission,
        reserved: u64,
        begun: bool,
    ) -> Self {
        let state = State { pauses: Some(admission.pauses), taken: reserved, used: 0, told: false };
        RateReservation {
            door: door.clone(),
            average: average.clone(),
            reserved,
            begun: AtomicBool::new(begun),
            handed_over: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns the reservation, and waits for another one.
    async fn reserve_again(&self, cx: &Context, name: Option<&str>) -> Result<()> {
        let (pauses, taken) = {
            let mut state = self.lock();
            (state.pauses.take(), std::mem::take(&mut state.taken))
        };
        if let Some(pauses) = pauses {
            self.door.give_turn(taken, pauses);
        }
        let admission = self.door.enter(self.reserved, cx, name).await?;
        let mut state = self.lock();
        state.pauses = Some(admission.pauses);
        state.taken = state.taken.saturating_add(self.reserved);
        Ok(())
    }

    /// The call has ended: what it did not use goes back, if it has said anything. One that ended in vain before it
    /// went out never was a call.
    fn end(&self, in_vain: bool) {
        let never_was = in_vain && !self.begun.load(Ordering::Acquire);
        let mut state = self.lock();
        if state.told {
            let used = state.used;
            let unused = state.settle();
            drop(state);
            lock(&self.average).learn(used as f64);
            self.door.give(unused);
        } else if never_was && let Some(pauses) = state.pauses.take() {
            let taken = std::mem::take(&mut state.taken);
            drop(state);
            self.door.give_turn(taken, pauses);
        }
    }
}

impl UsageMeter for RateReservation {
    fn id(&self) -> MeterId {
        MeterId::of(&self.door)
    }

    fn on_usage(&self, usage: Usage) {
        let mut state = self.lock();
        state.told = true;
        state.used = state.used.saturating_add(usage.tokens());
        let more = state.used.saturating_sub(state.taken);
        if more > 0 {
            state.taken = state.used;
            self.door.take_more(more);
        }
    }

    fn on_start(&self) -> bool {
        // Who says it twice at once says it twice to those further out, too.
        self.begun.load(Ordering::Acquire) || {
            self.begun.store(true, Ordering::Release);
            false
        }
    }

    fn hand_over(&self) -> bool {
        !self.handed_over.swap(true, Ordering::AcqRel)
    }

    /// A pause has begun since the reservation, and the call has not.
    fn is_revoked(&self) -> bool {
        !self.begun.load(Ordering::Acquire) && self.lock().pauses.is_some_and(|pauses| pauses != self.door.pauses())
    }

    fn renew<'a>(&'a self, cx: &'a Context, name: Option<&'a str>) -> Renewal<'a> {
        Box::pin(self.reserve_again(cx, name))
    }

    fn on_rate_limits(&self, limits: &RateLimits) -> bool {
        self.door.tighten(limits, self.reserved);
        true
    }
}

impl Drop for RateReservation {
    /// Nothing more will be said: work that spoke only after the call had ended is settled, too.
    fn drop(&mut self) {
        let unused = unlocked(&mut self.state).settle();
        if unused > 0 {
            self.door.give(unused);
        }
    }
}

/// A call as the rate sees it. Dropping it ends the call.
pub(super) struct RateGuard {
    turn: Arc<RateReservation>,
    has_ended: bool,
}

impl RateGuard {
    pub(super) fn new(turn: RateReservation) -> Self {
        RateGuard { turn: Arc::new(turn), has_ended: false }
    }

    pub(super) fn meter(&self) -> Arc<dyn UsageMeter> {
        self.turn.clone()
    }

    pub(super) fn end<T>(mut self, result: &Result<T>) {
        self.has_ended = true;
        self.turn.end(result.is_err());
    }
}

impl Drop for RateGuard {
    fn drop(&mut self) {
        if !self.has_ended {
            self.turn.end(true);
        }
    }
}
