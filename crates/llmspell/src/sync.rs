//! The primitives that the library's own synchronisation stands on, in one place, so that tests can replace
//! them: under `--cfg shuttle` they are those of a scheduler that tries one interleaving after another.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use tokio::task::AbortHandle;

#[cfg(shuttle)]
pub(crate) use shuttle::future::AbortHandle;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
