//! Permits that last as long as the work, not as long as the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Context;
use super::node::{Facet, Node};

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

/// One holder of a lease.
pub(crate) struct Held(Arc<Node>);

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
    /// A context whose work runs under `permit`, and the holder that gives it back.
    pub(crate) fn under_permit(&self, semaphore: &Arc<Semaphore>, permit: SemaphorePermit<'_>) -> (Context, Held) {
        permit.forget();
        let lease = Lease { semaphore: semaphore.clone(), holders: AtomicU32::new(1) };
        let (cx, node) = self.child(Facet::Lease(lease));
        (cx, Held(node))
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
