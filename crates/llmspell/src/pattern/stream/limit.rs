//! The limit of the items in flight, which can change while the stream runs.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::runtime::sync::atomic::{AtomicUsize, Ordering};
use crate::runtime::sync::{Mutex, lock};

/// A handle that changes the limit of a stream while it runs; made by
/// [`Streaming::limit_handle`](super::Streaming::limit_handle). Clones control the same stream.
#[derive(Clone)]
pub struct LimitHandle(Arc<SharedLimit>);

struct SharedLimit {
    items: AtomicUsize,
    /// The waker of the consumer, while only the limit prevents the stream from pulling another item.
    consumer: Mutex<Option<Waker>>,
}

impl LimitHandle {
    /// Returns the maximum number of items in flight.
    pub fn items(&self) -> usize {
        self.0.items.load(Ordering::Acquire)
    }

    /// Keeps at most `items` in flight from now on.
    ///
    /// If that is more, the stream pulls inputs at once, provided that it is polled. If it is less, the stream
    /// pulls none until enough items have finished. After the end of the stream this has no effect.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn resize(&self, items: usize) {
        assert_is_limit(items);
        self.0.items.store(items, Ordering::Release);
        let consumer = lock(&self.0.consumer).take();
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }
}

impl fmt::Debug for LimitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitHandle").field("items", &self.items()).finish()
    }
}

/// The limit of a stream. Shared only once a handle was requested: other streams need not check for changes.
pub(super) enum StreamLimit {
    Fixed(usize),
    SharedLimit(LimitHandle),
}

impl StreamLimit {
    pub(super) fn items(&self) -> usize {
        match self {
            StreamLimit::Fixed(items) => *items,
            StreamLimit::SharedLimit(handle) => handle.items(),
        }
    }

    pub(super) fn set(&mut self, items: usize) {
        assert_is_limit(items);
        match self {
            StreamLimit::Fixed(own) => *own = items,
            StreamLimit::SharedLimit(handle) => handle.resize(items),
        }
    }

    pub(super) fn handle(&mut self) -> LimitHandle {
        if let StreamLimit::SharedLimit(handle) = self {
            return handle.clone();
        }
        let shared = SharedLimit { items: AtomicUsize::new(self.items()), consumer: Mutex::new(None) };
        let handle = LimitHandle(Arc::new(shared));
        *self = StreamLimit::SharedLimit(handle.clone());
        handle
    }

    /// Returns whether the limit prevents the stream from pulling another item. If so, a change of the limit
    /// wakes `waker`.
    pub(super) fn is_reached(&self, waker: &Waker, is_full: impl Fn(usize) -> bool) -> bool {
        if !is_full(self.items()) {
            return false;
        }
        let StreamLimit::SharedLimit(handle) = self else { return true };
        let replaced = {
            let mut consumer = lock(&handle.0.consumer);
            match &mut *consumer {
                Some(present) if present.will_wake(waker) => None,
                other => other.replace(waker.clone()),
            }
        };
        drop(replaced);
        // The limit may have changed before the waker was stored.
        is_full(handle.items())
    }
}

/// A handle can outlive the stream, and must not keep the consumer's task alive.
impl Drop for StreamLimit {
    fn drop(&mut self) {
        if let StreamLimit::SharedLimit(handle) = self {
            let consumer = lock(&handle.0.consumer).take();
            drop(consumer);
        }
    }
}

fn assert_is_limit(items: usize) {
    assert!(items > 0, "a limit must be at least 1: with 0, nothing would ever run");
}
