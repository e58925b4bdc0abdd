//! Inputs whose fate is tracked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// The state of each input of a test.
#[derive(Clone)]
pub struct InputTracker(Arc<InputStates>);

struct InputStates {
    states: Vec<AtomicU8>,
    /// Transitions that must not happen: delivered twice, delivered after it was cancelled, pulled twice.
    invalid: AtomicUsize,
}

const UNSEEN: u8 = 0;
const PULLED: u8 = 1;
const DELIVERED: u8 = 2;
const CANCELLED: u8 = 3;

impl InputTracker {
    pub fn new(inputs: usize) -> Self {
        let states = (0..inputs).map(|_| AtomicU8::new(UNSEEN)).collect();
        InputTracker(Arc::new(InputStates { states, invalid: AtomicUsize::new(0) }))
    }

    /// Returns the inputs, each with its tracker.
    pub fn inputs(&self) -> impl Iterator<Item = TrackedInput> + Send + use<> {
        let tracker = self.clone();
        (0..self.0.states.len()).map(move |index| {
            tracker.change(index, UNSEEN, PULLED);
            TrackedInput { index, tracker: tracker.clone() }
        })
    }

    fn change(&self, index: usize, from: u8, to: u8) {
        if self.0.states[index].compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            self.0.invalid.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn count(&self, state: u8) -> usize {
        self.0.states.iter().filter(|of| of.load(Ordering::SeqCst) == state).count()
    }

    /// Returns the number of delivered and of cancelled inputs, once each input is one or the other.
    ///
    /// # Panics
    /// If an input was both, or was delivered twice.
    pub fn settled(&self) -> Option<(usize, usize)> {
        assert_eq!(self.0.invalid.load(Ordering::SeqCst), 0, "an input was both delivered and cancelled");
        let (delivered, cancelled) = (self.count(DELIVERED), self.count(CANCELLED));
        (delivered + cancelled == self.0.states.len()).then_some((delivered, cancelled))
    }
}

/// A tracked input. Dropping it before delivery cancels it.
pub struct TrackedInput {
    pub index: usize,
    tracker: InputTracker,
}

impl TrackedInput {
    /// Marks the input as delivered.
    pub fn deliver(self) {
        self.tracker.change(self.index, PULLED, DELIVERED);
    }
}

impl Drop for TrackedInput {
    fn drop(&mut self) {
        // Not delivered before this drop: no one can receive it any more.
        if self.tracker.0.states[self.index].load(Ordering::SeqCst) != DELIVERED {
            self.tracker.change(self.index, PULLED, CANCELLED);
        }
    }
}
