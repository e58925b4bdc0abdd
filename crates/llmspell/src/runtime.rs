//! The machinery under every pattern: the executor (which spawns every task), timers, a wait queue, a semaphore, a
//! bounded channel, and locks.
//!
//! The runtime must not know contexts, steps, patterns or flow control.

pub(crate) mod channel;
pub(crate) mod executor;
pub(crate) mod semaphore;
pub(crate) mod sync;
pub(crate) mod timing;
pub(crate) mod wait_queue;
