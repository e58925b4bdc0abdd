//! The yield policy of a stream's consumer.
//!
//! Tokio runs the task that was woken last on the thread that woke it, once the waking task yields, and no
//! other thread steals it. So a consumer that admits an item and then computes for long would delay the start
//! of that item, even if other threads are idle. Therefore a slow consumer yields once after it has admitted
//! items; a fast one does not pay for it.

use std::time::Duration;

use tokio::time::Instant;

/// A consumer that takes longer than this with an outcome is slow. This is many times the cost of a yield.
const SLOW: Duration = Duration::from_micros(100);

/// For a fast consumer, one in this many outcomes is timed.
const SAMPLE_EVERY: u8 = 8;

/// Decides when the consumer yields, from how long it takes with an outcome.
pub(super) struct ConsumerYield {
    is_slow: bool,
    has_yielded: bool,
    /// When the last outcome was delivered, if it is timed.
    delivered_at: Option<Instant>,
    untimed: u8,
}

impl ConsumerYield {
    /// Returns the state of a new stream: an unknown consumer counts as slow.
    pub(super) fn new() -> Self {
        ConsumerYield { is_slow: true, has_yielded: false, delivered_at: None, untimed: 0 }
    }

    /// Records that the consumer polls again.
    pub(super) fn on_return(&mut self) {
        if let Some(delivered_at) = self.delivered_at.take() {
            self.is_slow = delivered_at.elapsed() > SLOW;
        }
    }

    /// Returns whether the consumer, having admitted items, must yield before it gets its outcome.
    pub(super) fn is_due(&mut self) -> bool {
        self.is_slow && !std::mem::replace(&mut self.has_yielded, true)
    }

    /// Records that an outcome is delivered.
    pub(super) fn on_outcome(&mut self) {
        self.has_yielded = false;
        self.untimed += 1;
        if self.is_slow || self.untimed >= SAMPLE_EVERY {
            self.untimed = 0;
            self.delivered_at = Some(Instant::now());
        }
    }
}
