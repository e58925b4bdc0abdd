//! Permits that last as long as the work, not as long as the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Context;
use super::node::{Facet, Node};
use crate::path::Path;

/// A permit with a count of those who keep it. It goes back when the last of them lets go.
///
/// A context that somebody stores does not keep a permit; only [`Context::hold`] and the caller do.
pub(crate) struct Lease {
    semaphore: Arc<Semaphore>,
    holders: AtomicU32,
}

impl Lease {
    fn try_hold(&self) -> bool {
        let more = |holders| (holders > 0).then_some(holders + 1);
        self.holders.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    fn release(&self) {
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.semaphore.add_permits(1);
        }
    }
}

/// The context of work that runs under a permit. Dropping it gives the permit back, unless somebody else
/// holds it too.
pub(crate) struct Leased(Context);

impl std::ops::Deref for Leased {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(Facet::Lease(lease)) = self.0.node.as_ref().map(|node| &node.facet) {
            lease.release();
        }
    }
}

/// One more holder of a lease.
struct Held(Arc<Node>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Facet::Lease(lease) = &self.0.facet {
            lease.release();
        }
    }
}

/// Keeps every permit that the work runs under, until it is dropped. See [`Context::hold`].
#[must_use = "permits go back when this is dropped"]
pub struct Hold {
    // Dropped for its effect.
    _held: Vec<Held>,
}

impl Context {
    /// A context whose work runs under `permit`, at another path if one is given.
    pub(crate) fn under_permit(
        &self,
        semaphore: &Arc<Semaphore>,
        permit: SemaphorePermit<'_>,
        path: Option<Path>,
    ) -> Leased {
        permit.forget();
        let lease = Facet::Lease(Lease { semaphore: semaphore.clone(), holders: AtomicU32::new(1) });
        Leased(match path {
            None => self.child(lease),
            Some(path) => self.child_at(lease, path),
        })
    }

    /// Whether this work runs under a permit of `semaphore`.
    pub(crate) fn is_under_permit_of(&self, semaphore: &Arc<Semaphore>) -> bool {
        self.chain().any(|node| matches!(&node.facet, Facet::Lease(lease) if Arc::ptr_eq(&lease.semaphore, semaphore)))
    }

    /// Keeps every permit that this work runs under until the returned value is dropped.
    ///
    /// For work that goes on after its caller has gone away, such as a thread that cannot be stopped: as
    /// long as it lives it must count against the limits it was admitted under. [`Context::blocking`]
    /// does this by itself.
    pub fn hold(&self) -> Hold {
        let leased = |node: &&Arc<Node>| matches!(&node.facet, Facet::Lease(lease) if lease.try_hold());
        Hold { _held: self.chain().filter(leased).map(|node| Held(node.clone())).collect() }
    }
}
