//! How many items a stream keeps in flight, also if that changes while it runs.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::runtime::sync::atomic::{AtomicUsize, Ordering};
use crate::runtime::sync::{Mutex, lock};

/// Changes the limit of a stream while it runs; made by
/// [`Streaming::limit_handle`](super::Streaming::limit_handle). Clones are handles of the same stream.
#[derive(Clone)]
pub struct LimitHandle(Arc<Shared>);

struct Shared {
    items: AtomicUsize,
    /// Who polls the stream, while nothing but the limit keeps it from taking another item.
    consumer: Mutex<Option<Waker>>,
}

impl LimitHandle {
    /// How many items the stream keeps in flight at most.
    pub fn items(&self) -> usize {
        self.0.items.load(Ordering::Acquire)
    }

    /// Keeps at most `items` in flight from now on. When that is more, the stream takes inputs at once, provided that it
    /// is polled; when it is less, it takes none until enough of those in flight have ended. After the end of the
    /// stream it does nothing.
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

/// The limit of a stream. Shared only if somebody has asked for a handle: all others need not look for changes.
pub(super) enum Bound {
    Fixed(usize),
    Shared(LimitHandle),
}

impl Bound {
    pub(super) fn items(&self) -> usize {
        match self {
            Bound::Fixed(items) => *items,
            Bound::Shared(handle) => handle.items(),
        }
    }

    pub(super) fn set(&mut self, items: usize) {
        assert_is_limit(items);
        match self {
            Bound::Fixed(own) => *own = items,
            Bound::Shared(handle) => handle.resize(items),
        }
    }

    pub(super) fn handle(&mut self) -> LimitHandle {
        if let Bound::Shared(handle) = self {
            return handle.clone();
        }
        let shared = Shared { items: AtomicUsize::new(self.items()), consumer: Mutex::new(None) };
        let handle = LimitHandle(Arc::new(shared));
        *self = Bound::Shared(handle.clone());
        handle
    }

    /// Whether the bound keeps the stream from taking another item. If so, whoever polls it hears of a change.
    pub(super) fn holds(&self, waker: &Waker, is_full: impl Fn(usize) -> bool) -> bool {
        if !is_full(self.items()) {
            return false;
        }
        let Bound::Shared(handle) = self else { return true };
        let former = {
            let mut consumer = lock(&handle.0.consumer);
            match &mut *consumer {
                Some(known) if known.will_wake(waker) => None,
                other => other.replace(waker.clone()),
            }
        };
        drop(former);
        // It may have changed before there was anybody to tell.
        is_full(handle.items())
    }
}

/// A handle may outlive the stream, and is not to keep the task that has polled it.
impl Drop for Bound {
    fn drop(&mut self) {
        if let Bound::Shared(handle) = self {
            let consumer = lock(&handle.0.consumer).take();
            drop(consumer);
        }
    }
}

fn assert_is_limit(items: usize) {
    assert!(items > 0, "a limit must be at least 1: with 0, nothing would ever run");
}
