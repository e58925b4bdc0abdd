//! Chains of events: what the critical path is made of.

use std::time::Duration;

/// The time spent in each step along a chain of events in which each waited for the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain(Vec<ChainLink>);

/// The part of one step in a chain.
#[derive(Clone, Debug)]
pub(super) struct ChainLink {
    pub(super) step: usize,
    pub(super) calls: u64,
    pub(super) time: Duration,
}

impl Chain {
    pub(super) fn extend(&mut self, step: usize, calls: u64, time: Duration) {
        match self.0.iter_mut().find(|link| link.step == step) {
            Some(link) => {
                link.calls += calls;
                link.time += time;
            }
            None => self.0.push(ChainLink { step, calls, time }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &ChainLink> {
        self.0.iter()
    }
}
