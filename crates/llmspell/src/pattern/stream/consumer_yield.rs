//! When the consumer lets the items that it has admitted go first.
//!
//! tokio runs the task that was woken last on the thread that woke it, after the waking task has given way, and lets
//! no other thread have it. So a consumer that admits an item and then computes for long would keep that item from its
//! start, however many threads are idle. A consumer that has proved to be slow therefore gives way once after it has
//! admitted something; one that is fast does not pay for that.

use std::time::Duration;

use tokio::time::Instant;

/// A consumer that takes longer than this with an outcome is slow: many times what it costs to give way.
const SLOW: Duration = Duration::from_micros(100);

/// Of a fast consumer, one outcome of so many is timed.
const TIMED: u8 = 8;

pub(super) struct ConsumerYield {
    is_slow: bool,
    has_given_way: bool,
    /// When the last outcome was handed over, if it is timed.
    handed_over: Option<Instant>,
    untimed: u8,
}

impl ConsumerYield {
    /// Nothing is known of the consumer yet, so it counts as slow.
    pub(super) fn new() -> Self {
        ConsumerYield { is_slow: true, has_given_way: false, handed_over: None, untimed: 0 }
    }

    /// The consumer is back.
    pub(super) fn back(&mut self) {
        if let Some(handed_over) = self.handed_over.take() {
            self.is_slow = handed_over.elapsed() > SLOW;
        }
    }

    /// Whether the consumer, having admitted something, has to give way before it gets its outcome.
    pub(super) fn is_due(&mut self) -> bool {
        self.is_slow && !std::mem::replace(&mut self.has_given_way, true)
    }

    /// The consumer gets an outcome.
    pub(super) fn hand_over(&mut self) {
        self.has_given_way = false;
        self.untimed += 1;
        if self.is_slow || self.untimed >= TIMED {
            self.untimed = 0;
            self.handed_over = Some(Instant::now());
        }
    }
}
