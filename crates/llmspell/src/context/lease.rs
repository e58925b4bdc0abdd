//! Permits that last as long as the work, not as long as the caller.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::sync::{Arc, Weak};

use super::Context;
use super::node::{Facet, Node};
use crate::control::limit::{Permit, Semaphore};
use crate::path::Path;
use crate::runtime::sync::atomic::{AtomicU32, Ordering};

/// The permits of a limit. Their spares are nodes of the context that nobody else has: a call admitted in the
/// place of another one uses the node of that one, and allocates nothing.
pub(crate) type Permits = Semaphore<Arc<Node>>;

/// A permit with a count of those who keep it. It goes back when the last of them lets go.
///
/// A context that somebody stores does not keep a permit; only [`Context::hold`] and the caller do.
pub(crate) struct Lease {
    /// Weak, for the permits keep the nodes that leases are in.
    permits: Weak<Permits>,
    /// [`CALLER`] while the caller is there, and 1 for each hold.
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

    /// The end of a hold. The last one after the caller gives the permit back.
    fn let_go(&self) {
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(permits) = self.permits.upgrade()
        {
            permits.end_orphaned();
        }
    }

    /// The caller goes; says whether somebody still holds the permit.
    fn lose_caller(&self) -> bool {
        self.holders.fetch_sub(CALLER, Ordering::AcqRel) != CALLER
    }
}

/// A permit that nobody runs under yet, and a node that the last call has left.
pub(crate) struct AcquiredPermit<'a> {
    permits: &'a Arc<Permits>,
    permit: Permit<'a, Arc<Node>>,
    spare: Option<Arc<Node>>,
}

impl<'a> AcquiredPermit<'a> {
    /// A permit, if one is free.
    #[inline(always)]
    pub(crate) fn now(permits: &'a Arc<Permits>) -> Option<Self> {
        permits.try_acquire().map(|(permit, spare)| AcquiredPermit { permits, permit, spare })
    }

    /// A permit, once one is free.
    pub(crate) async fn wait(permits: &'a Arc<Permits>) -> Self {
        let (permit, spare) = permits.acquire().await;
        AcquiredPermit { permits, permit, spare }
    }
}

/// The context of work that runs under a permit. Dropping it gives the permit back, unless somebody else
/// holds it too.
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
            // Nobody holds the permit, and nobody has stored the context: the next call can have the node.
            unshared.leave_place();
            permit.release_with(node);
        } else if let Facet::Lease(lease) = &node.facet
            && lease.lose_caller()
        {
            permit.orphan();
        }
    }
}

/// One more holder of a lease.
struct Held(Arc<Node>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Facet::Lease(lease) = &self.0.facet {
            lease.let_go();
        }
    }
}

/// Keeps every permit that the work runs under, until it is dropped. See [`Context::hold`].
#[must_use = "permits go back when this is dropped"]
pub struct PermitHold {
    // Dropped for its effect.
    _held: Vec<Held>,
}

impl Context {
    /// A context whose work runs under `permit`, at another path if one is given.
    #[inline]
    pub(crate) fn under_permit<'a>(&self, grant: AcquiredPermit<'a>, path: Option<Path>) -> LeasedContext<'a> {
        let AcquiredPermit { permits, permit, mut spare } = grant;
        let path = path.or_else(|| self.node.as_ref()?.path.clone());
        let node = match spare.as_mut().and_then(Arc::get_mut) {
            Some(unshared) => {
                unshared.take_place(self.node.as_ref(), path);
                spare
            }
            None => Some(self.leased(permits, path)),
        };
        LeasedContext { cx: Context { node, ..*self }, permit: Some(permit) }
    }

    #[cold]
    fn leased(&self, permits: &Arc<Permits>, path: Option<Path>) -> Arc<Node> {
        Arc::new(self.node_with(Facet::Lease(Lease::new(permits)), path))
    }

    /// Whether this work runs under one of `permits`.
    pub(crate) fn is_under(&self, permits: &Arc<Permits>) -> bool {
        self.chain().any(|node| matches!(&node.facet, Facet::Lease(lease) if lease.is_of(permits)))
    }

    /// Keeps every permit that this work runs under until the returned value is dropped.
    ///
    /// For work that goes on after its caller has gone away, such as a thread that cannot be stopped: as
    /// long as it lives it must count against the limits it was admitted under. [`Context::blocking`]
    /// does this by itself.
    pub fn hold(&self) -> PermitHold {
        let leased = |node: &&Arc<Node>| matches!(&node.facet, Facet::Lease(lease) if lease.try_hold());
        PermitHold { _held: self.chain().filter(leased).map(|node| Held(node.clone())).collect() }
    }
}
