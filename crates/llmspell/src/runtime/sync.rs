//! The primitives that the library's own synchronisation stands on, in one place, so that tests can replace
//! them: under `--cfg shuttle` they are those of a scheduler that tries one interleaving after another.

use std::sync::PoisonError;
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use tokio::task::AbortHandle;

#[cfg(shuttle)]
pub(crate) use shuttle::future::AbortHandle;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};

/// Locks, also if somebody has panicked with the lock: what is behind ours is whole whenever anything can panic.
#[inline]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same for the only owner, who need not lock.
#[inline]
pub(crate) fn unlocked<T: ?Sized>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}
