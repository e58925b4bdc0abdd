//! Permits that last as long as the work, even when its caller is gone.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::fmt;
use std::sync::{Arc, Weak};

use super::Context;
use super::node::{Node, NodeKind};
use crate::path::Path;
use crate::runtime::semaphore::{Permit, Semaphore};
use crate::runtime::sync::atomic::{AtomicU32, Ordering};

/// The permits of a limit.
///
/// A spare is a context node that a finished call left behind. A call admitted in its place reuses the node and
/// allocates nothing.
pub(crate) type Permits = Semaphore<Arc<Node>>;

/// A permit with a count of its holders. The last holder releases it.
///
/// A stored context does not hold a permit; only the caller and a [`Context::hold`] do.
pub(crate) struct Lease {
    /// Weak, because the permits keep the nodes that contain leases.
    permits: Weak<Permits>,
    /// [`CALLER`] while the caller exists, plus 1 for each hold.
    holders: AtomicU32,
}

const CALLER: u32 = 1 << 31;

impl Lease {
    fn new(permits: &Arc<Permits>) -> Self {
        Lease { permits: Arc::downgrade(permits), holders: AtomicU32::new(CALLER) }
    }

    fn is_of(&self, permits: &Arc<Permits>) -> bool {
        std::ptr::eq(self.permits.as_ptr(), Arc::as_ptr(permits))
    }

    fn try_hold(&self) -> bool {
        let more = |holders| (holders > 0).then_some(holders + 1);
        self.holders.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Releases a hold. The last hold after the caller returns the permit.
    fn release_hold(&self) {
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(permits) = self.permits.upgrade()
        {
            permits.end_orphaned();
        }
    }

    /// Releases the caller's share, and returns whether a hold remains.
    fn release_caller(&self) -> bool {
        self.holders.fetch_sub(CALLER, Ordering::AcqRel) != CALLER
    }
}

/// A permit acquired for a call that has not started, and the spare node of an earlier call.
pub(crate) struct AcquiredPermit<'a> {
    permits: &'a Arc<Permits>,
    permit: Permit<'a, Arc<Node>>,
    spare: Option<Arc<Node>>,
}

impl<'a> AcquiredPermit<'a> {
    /// Returns a permit if one is free.
    #[inline(always)]
    pub(crate) fn try_acquire(permits: &'a Arc<Permits>) -> Option<Self> {
        permits.try_acquire().map(|(permit, spare)| AcquiredPermit { permits, permit, spare })
    }

    /// Waits until a permit is free.
    pub(crate) async fn acquire(permits: &'a Arc<Permits>) -> Self {
        let (permit, spare) = permits.acquire().await;
        AcquiredPermit { permits, permit, spare }
    }
}

/// The context of work that runs under a permit. Dropping it returns the permit, unless a hold remains.
pub(crate) struct LeasedContext<'a> {
    cx: Context,
    permit: Option<Permit<'a, Arc<Node>>>,
}

impl std::ops::Deref for LeasedContext<'_> {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.cx
    }
}

impl Drop for LeasedContext<'_> {
    fn drop(&mut self) {
        let (Some(mut node), Some(permit)) = (self.cx.node.take(), self.permit.take()) else { return };
        if let Some(unshared) = Arc::get_mut(&mut node) {
            // No hold remains and no context is stored, so the next call can reuse the node.
            unshared.detach();
            permit.release_with(node);
        } else if let NodeKind::Lease(lease) = &node.kind
            && lease.release_caller()
        {
            permit.orphan();
        }
    }
}

/// A hold of one lease.
struct LeaseHold(Arc<Node>);

impl Drop for LeaseHold {
    fn drop(&mut self) {
        if let NodeKind::Lease(lease) = &self.0.kind {
            lease.release_hold();
        }
    }
}

/// A hold on every permit of the work, until it is dropped. See [`Context::hold`].
#[must_use = "dropping this returns the permits"]
pub struct PermitHold {
    // Dropping them releases the permits.
    leases: Vec<LeaseHold>,
}

impl fmt::Debug for PermitHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitHold").field("permits", &self.leases.len()).finish()
    }
}

impl Context {
    /// Returns the context of work that runs under `permit`, at another path if one is given.
    #[inline]
    pub(crate) fn under_permit<'a>(&self, permit: AcquiredPermit<'a>, path: Option<Path>) -> LeasedContext<'a> {
        let AcquiredPermit { permits, permit, mut spare } = permit;
        let path = path.or_else(|| self.node.as_ref()?.path.clone());
        let node = match spare.as_mut().and_then(Arc::get_mut) {
            Some(unshared) => {
                unshared.attach(self.node.as_ref(), path);
                spare
            }
            None => Some(self.leased(permits, path)),
        };
        LeasedContext { cx: Context { node, ..*self }, permit: Some(permit) }
    }

    #[cold]
    fn leased(&self, permits: &Arc<Permits>, path: Option<Path>) -> Arc<Node> {
        Arc::new(self.node_with(NodeKind::Lease(Lease::new(permits)), path))
    }

    /// Returns whether this work runs under one of `permits`.
    pub(crate) fn is_under(&self, permits: &Arc<Permits>) -> bool {
        self.chain().any(|node| matches!(&node.kind, NodeKind::Lease(lease) if lease.is_of(permits)))
    }

    /// Holds every permit of this work until the returned value is dropped.
    ///
    /// For work that outlives its caller, such as a thread: it must count against its limits until it ends.
    /// [`Context::blocking`] does this itself.
    pub fn hold(&self) -> PermitHold {
        let leased = |node: &&Arc<Node>| matches!(&node.kind, NodeKind::Lease(lease) if lease.try_hold());
        PermitHold { leases: self.chain().filter(leased).map(|node| LeaseHold(node.clone())).collect() }
    }
}
