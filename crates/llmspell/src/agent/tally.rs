//! What a run of an agent has used so far.

use std::sync::Arc;

use crate::context::{Account, Meter};
use crate::sync::{Mutex, lock};
use crate::usage::Usage;

/// Hears of everything that is used in a run: turns with all attempts, tools, agents that are tools.
#[derive(Default)]
pub(super) struct Tally(Arc<Mutex<Usage>>);

impl Tally {
    pub(super) fn total(&self) -> Usage {
        *lock(&self.0)
    }
}

impl Meter for Tally {
    fn account(&self) -> Account {
        Account::of(&self.0)
    }

    fn used(&self, usage: Usage) {
        *lock(&self.0) += usage;
    }
}
