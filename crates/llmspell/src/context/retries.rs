//! One budget of retries for a logical call, shared by all retries nested in it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Context;
use super::node::{Node, NodeKind};
use crate::runtime::executor::ABORT_GRACE;
use crate::runtime::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::runtime::timing::{after, within};

/// The state of one retry, as the steps below it see it.
pub(crate) struct Retries {
    allowance: RetryAllowance,
    /// Whether a reader has seen output of the current attempt.
    output_seen: AtomicBool,
    /// Work of earlier attempts that could not be dropped and is still running; allocated on first use.
    runaways: OnceLock<Box<Runaways>>,
}

#[derive(Default)]
struct Runaways {
    running: AtomicU32,
    /// The longest time that one of them is given to end, in milliseconds.
    grace_ms: AtomicU64,
    ended: Notify,
}

enum RetryAllowance {
    /// The outermost retry of a logical call owns the budget.
    Own { spent: AtomicU32, allowed: AtomicU32 },
    /// A nested retry uses the budget of the outermost one.
    Outer(Arc<Node>),
}

impl Retries {
    #[inline(always)]
    fn new(allowance: RetryAllowance) -> Self {
        Retries { allowance, output_seen: AtomicBool::new(false), runaways: OnceLock::new() }
    }

    /// Returns the counters of the budget: spent and allowed.
    fn counters(&self) -> Option<(&AtomicU32, &AtomicU32)> {
        match &self.allowance {
            RetryAllowance::Own { spent, allowed } => Some((spent, allowed)),
            RetryAllowance::Outer(node) => match &node.kind {
                NodeKind::Retries(outer) => outer.counters(),
                _ => None,
            },
        }
    }

    /// Takes one retry from the budget, if one is left.
    pub(crate) fn spend(&self) -> bool {
        self.counters().is_some_and(|(spent, allowed)| {
            let allowed = allowed.load(Ordering::Relaxed);
            let more = |spent| (spent < allowed).then_some(spent + 1);
            spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        })
    }

    /// Counts work that runs although its attempt is over, and should end within `grace`.
    pub(crate) fn runaway(&self, grace: Duration) {
        let runaways = self.runaways.get_or_init(Box::default);
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        runaways.grace_ms.fetch_max(grace_ms, Ordering::AcqRel);
        runaways.running.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts the end of such work.
    pub(crate) fn runaway_ended(&self) {
        if let Some(runaways) = self.runaways.get()
            && runaways.running.fetch_sub(1, Ordering::AcqRel) == 1
        {
            runaways.ended.notify_waiters();
        }
    }

    /// Waits a moment for running work of earlier attempts, and returns whether it has ended.
    ///
    /// An aborted task or a killed process nearly always has ended by then. The wait ends at the deadline of
    /// `cx`, and when `cx` is cancelled.
    pub(crate) async fn wait_for_runaways(&self, cx: &Context) -> bool {
        let Some(runaways) = self.runaways.get() else { return true };
        let is_running = || runaways.running.load(Ordering::Acquire) > 0;
        let grace = Duration::from_millis(runaways.grace_ms.load(Ordering::Acquire)).max(ABORT_GRACE);
        let until = after(Instant::now(), grace);
        let until = cx.deadline().map_or(until, |deadline| deadline.min(until));
        let mut signalled = pin!(cx.has_signals().then(|| cx.signalled()));
        while is_running() {
            let mut ended = pin!(runaways.ended.notified());
            let either = poll_fn(|task| match signalled.as_mut().as_pin_mut().map(|signal| signal.poll(task)) {
                Some(Poll::Ready(())) => Poll::Ready(false),
                _ => ended.as_mut().poll(task).map(|()| true),
            });
            if is_running() && within(until, either).await != Some(true) {
                return !is_running();
            }
        }
        true
    }

    pub(crate) fn mark_output_seen(&self) {
        self.output_seen.store(true, Ordering::Relaxed);
    }

    /// Returns whether output was seen since the last call of this function.
    pub(crate) fn take_output_seen(&self) -> bool {
        self.output_seen.swap(false, Ordering::Relaxed)
    }
}

impl Context {
    /// Returns a context for the attempts of a retry that allows `allowance` retries, including those nested in
    /// it.
    ///
    /// The largest allowance in a nest counts, not the product.
    pub(crate) fn under_retry(&self, allowance: u32) -> Context {
        // Each stream item is a logical call of its own, so the search ends there.
        let outer = self
            .chain()
            .take_while(|node| !matches!(&node.kind, NodeKind::Scope(scope) if scope.item.is_some()))
            .find_map(|node| match &node.kind {
                NodeKind::Retries(Retries { allowance: RetryAllowance::Outer(owner), .. }) => Some(owner),
                NodeKind::Retries(_) => Some(node),
                _ => None,
            });
        let Some(owner) = outer else {
            let allowance = RetryAllowance::Own { spent: AtomicU32::new(0), allowed: AtomicU32::new(allowance) };
            return self.child(NodeKind::Retries(Retries::new(allowance)));
        };
        if let NodeKind::Retries(Retries { allowance: RetryAllowance::Own { allowed, .. }, .. }) = &owner.kind {
            allowed.fetch_max(allowance, Ordering::Relaxed);
        }
        self.child(NodeKind::Retries(Retries::new(RetryAllowance::Outer(owner.clone()))))
    }

    /// Returns the state of the nearest retry.
    pub(crate) fn retries(&self) -> Option<&Retries> {
        self.chain().find_map(|node| match &node.kind {
            NodeKind::Retries(retries) => Some(retries),
            _ => None,
        })
    }
}
