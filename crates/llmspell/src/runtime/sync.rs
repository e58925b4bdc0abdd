//! The locks and atomics of the library, in one place so that tests can replace them. Under `--cfg shuttle` they are
//! those of a scheduler that tries one interleaving after another.

use std::sync::PoisonError;
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use tokio::task::AbortHandle;

#[cfg(shuttle)]
pub(crate) use shuttle::future::AbortHandle;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};

/// Locks a mutex, even if it is poisoned: the data behind the library's locks is consistent whenever anything can
/// panic.
#[inline]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the data of a mutex to its only owner, which need not lock it.
#[inline]
pub(crate) fn get_mut<T: ?Sized>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}
