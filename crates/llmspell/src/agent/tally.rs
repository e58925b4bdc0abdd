//! What a run of an agent has used so far.

use std::sync::{Arc, Mutex, PoisonError};

use crate::context::{Account, Meter};
use crate::usage::Usage;

/// Hears of everything that is used in a run: turns with all attempts, tools, agents that are tools.
#[derive(Default)]
pub(super) struct Tally(Arc<Mutex<Usage>>);

impl Tally {
    pub(super) fn total(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Tally {
    fn account(&self) -> Account {
        Account::of(&self.0)
    }

    fn used(&self, usage: Usage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += usage;
    }
}
