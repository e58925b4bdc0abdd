//! The usage of an agent's run so far.

use std::sync::Arc;

use crate::context::{MeterId, UsageMeter};
use crate::observe::usage::Usage;
use crate::runtime::sync::{Mutex, lock};

/// A meter that sums the usage of a run: turns with all attempts, tools, and agents that are tools.
#[derive(Default)]
pub(super) struct UsageTotal(Arc<Mutex<Usage>>);

impl UsageTotal {
    pub(super) fn total(&self) -> Usage {
        *lock(&self.0)
    }
}

impl UsageMeter for UsageTotal {
    fn id(&self) -> MeterId {
        MeterId::of(&self.0)
    }

    fn on_usage(&self, usage: Usage) {
        *lock(&self.0) += usage;
    }
}
