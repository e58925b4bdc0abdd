//! Inputs that are accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// What has become of each input of a test.
#[derive(Clone)]
pub struct Ledger(Arc<Fates>);

struct Fates {
    of_each: Vec<AtomicU8>,
    /// Changes that cannot be: delivered twice, delivered after it was cancelled, pulled twice.
    impossible: AtomicUsize,
}

const UNSEEN: u8 = 0;
const PULLED: u8 = 1;
const DELIVERED: u8 = 2;
const CANCELLED: u8 = 3;

impl Ledger {
    pub fn new(inputs: usize) -> Self {
        let of_each = (0..inputs).map(|_| AtomicU8::new(UNSEEN)).collect();
        Ledger(Arc::new(Fates { of_each, impossible: AtomicUsize::new(0) }))
    }

    /// The inputs, each with its entry in the ledger.
    pub fn inputs(&self) -> impl Iterator<Item = Entry> + Send + use<> {
        let ledger = self.clone();
        (0..self.0.of_each.len()).map(move |index| {
            ledger.change(index, UNSEEN, PULLED);
            Entry { index, ledger: ledger.clone() }
        })
    }

    fn change(&self, index: usize, from: u8, to: u8) {
        if self.0.of_each[index].compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            self.0.impossible.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn count(&self, fate: u8) -> usize {
        self.0.of_each.iter().filter(|of| of.load(Ordering::SeqCst) == fate).count()
    }

    /// How many inputs were delivered and how many cancelled, once each has been one or the other.
    ///
    /// # Panics
    /// If one was both, or delivered twice.
    pub fn settled(&self) -> Option<(usize, usize)> {
        assert_eq!(self.0.impossible.load(Ordering::SeqCst), 0, "an input met two fates");
        let (delivered, cancelled) = (self.count(DELIVERED), self.count(CANCELLED));
        (delivered + cancelled == self.0.of_each.len()).then_some((delivered, cancelled))
    }
}

/// An input on its way: whoever drops it before it is delivered has cancelled it.
pub struct Entry {
    pub index: usize,
    ledger: Ledger,
}

impl Entry {
    /// Whoever asked has got it.
    pub fn deliver(self) {
        self.ledger.change(self.index, PULLED, DELIVERED);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // It has been delivered, or nobody will have it any more.
        if self.ledger.0.of_each[self.index].load(Ordering::SeqCst) != DELIVERED {
            self.ledger.change(self.index, PULLED, CANCELLED);
        }
    }
}
