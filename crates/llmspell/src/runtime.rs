//! The machinery under every pattern: the executor, which spawns every task, a wait queue, a bounded channel, and locks.
//!
//! The runtime must not know steps, patterns or flow control.

pub(crate) mod channel;
pub(crate) mod executor;
pub(crate) mod sync;
pub(crate) mod wait_queue;
