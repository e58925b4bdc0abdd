//! The machinery under every pattern: the one executor that spawns tasks, wait queues, a bounded channel and locks.
//!
//! The runtime knows nothing of steps, patterns or flow control.

pub(crate) mod channel;
pub(crate) mod executor;
pub(crate) mod sync;
pub(crate) mod wait_list;
pub(crate) mod wait_queue;
