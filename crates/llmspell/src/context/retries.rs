//! One budget of retries for a logical call, however many retries are nested in it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Context;
use super::node::{Facet, Node};
use crate::runtime::executor::{ABORT_GRACE, after, within};
use crate::runtime::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The state of one retry, seen by the steps below it.
pub(crate) struct Retries {
    budget: Budget,
    /// Whether the current attempt has shown output to somebody.
    shown: AtomicBool,
    /// Work of earlier attempts that could not be dropped and is still alive; made when there is any.
    runaways: OnceLock<Box<Runaways>>,
}

#[derive(Default)]
struct Runaways {
    alive: AtomicU32,
    /// How long the most patient of them has to be gone, in milliseconds.
    patience: AtomicU64,
    ended: Notify,
}

enum Budget {
    /// The outermost retry of a logical call owns the budget.
    Own { spent: AtomicU32, allowed: AtomicU32 },
    /// A retry below another one draws on the budget of that one.
    Of(Arc<Node>),
}

impl Retries {
    #[inline(always)]
    fn new(budget: Budget) -> Self {
        Retries { budget, shown: AtomicBool::new(false), runaways: OnceLock::new() }
    }

    /// The counters of the budget: spent and allowed.
    fn counters(&self) -> Option<(&AtomicU32, &AtomicU32)> {
        match &self.budget {
            Budget::Own { spent, allowed } => Some((spent, allowed)),
            Budget::Of(node) => match &node.facet {
                Facet::Retries(outer) => outer.counters(),
                _ => None,
            },
        }
    }

    /// Takes one retry out of the budget, if there is one left.
    pub(crate) fn spend(&self) -> bool {
        self.counters().is_some_and(|(spent, allowed)| {
            let allowed = allowed.load(Ordering::Relaxed);
            let more = |spent| (spent < allowed).then_some(spent + 1);
            spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        })
    }

    /// Counts work that goes on although its attempt is over, and should be gone after `patience`.
    pub(crate) fn runaway(&self, patience: Duration) {
        let runaways = self.runaways.get_or_init(Box::default);
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        runaways.patience.fetch_max(patience, Ordering::AcqRel);
        runaways.alive.fetch_add(1, Ordering::AcqRel);
    }

    /// Such work has ended.
    pub(crate) fn runaway_ended(&self) {
        if let Some(runaways) = self.runaways.get()
            && runaways.alive.fetch_sub(1, Ordering::AcqRel) == 1
        {
            runaways.ended.notify_waiters();
        }
    }

    /// Waits a moment for work of earlier attempts that is still alive, and says whether it has ended. A
    /// task that was told to stop nearly always has, and so has a process that was killed.
    /// It does not wait beyond the deadline of `cx`, or when that is cancelled.
    pub(crate) async fn are_alone(&self, cx: &Context) -> bool {
        let Some(runaways) = self.runaways.get() else { return true };
        let alive = || runaways.alive.load(Ordering::Acquire) > 0;
        let patience = Duration::from_millis(runaways.patience.load(Ordering::Acquire)).max(ABORT_GRACE);
        let until = after(Instant::now(), patience);
        let until = cx.deadline().map_or(until, |deadline| deadline.min(until));
        let mut signalled = pin!(cx.has_signals().then(|| cx.signalled()));
        while alive() {
            let mut ended = pin!(runaways.ended.notified());
            let either = poll_fn(|task| match signalled.as_mut().as_pin_mut().map(|signal| signal.poll(task)) {
                Some(Poll::Ready(())) => Poll::Ready(false),
                _ => ended.as_mut().poll(task).map(|()| true),
            });
            if alive() && within(until, either).await != Some(true) {
                return !alive();
            }
        }
        true
    }

    pub(crate) fn show(&self) {
        self.shown.store(true, Ordering::Relaxed);
    }

    /// Whether output was shown since the last call of this.
    pub(crate) fn take_shown(&self) -> bool {
        self.shown.swap(false, Ordering::Relaxed)
    }
}

impl Context {
    /// A context for the attempts of a retry that may make `allowance` further ones, with all the retries
    /// nested in it. The largest allowance in a nest counts, not the product.
    pub(crate) fn under_retry(&self, allowance: u32) -> Context {
        // An item of a stream is a logical call of its own: the search ends there.
        let outer = self
            .chain()
            .take_while(|node| !matches!(&node.facet, Facet::Scope(scope) if scope.item.is_some()))
            .find_map(|node| match &node.facet {
                Facet::Retries(Retries { budget: Budget::Of(owner), .. }) => Some(owner),
                Facet::Retries(_) => Some(node),
                _ => None,
            });
        let Some(owner) = outer else {
            let budget = Budget::Own { spent: AtomicU32::new(0), allowed: AtomicU32::new(allowance) };
            return self.child(Facet::Retries(Retries::new(budget)));
        };
        if let Facet::Retries(Retries { budget: Budget::Own { allowed, .. }, .. }) = &owner.facet {
            allowed.fetch_max(allowance, Ordering::Relaxed);
        }
        self.child(Facet::Retries(Retries::new(Budget::Of(owner.clone()))))
    }

    /// The state of the nearest retry.
    pub(crate) fn retries(&self) -> Option<&Retries> {
        self.chain().find_map(|node| match &node.facet {
            Facet::Retries(retries) => Some(retries),
            _ => None,
        })
    }
}
