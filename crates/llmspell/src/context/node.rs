//! What a [`Context`](crate::Context) is made of: a chain of facets from a call up to the root.
//!
//! Each combinator that has something to tell the steps below it adds one node. A plain context has
//! none, so work that nobody observes pays for nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::chunk::{ChunkObserver, ChunkSender};
use super::lease::Lease;
use super::liveness::{Contender, Heartbeat};
use super::redactor::Redactor;
use super::retries::Retries;
use super::signal::Signal;
use super::usage_meter::UsageMeter;
use crate::control::retry_budget::RetryBudget;
use crate::observe::outcome::ProvenanceCollector;
use crate::observe::recorder::Recorder;
use crate::path::Path;

pub(crate) struct Node {
    pub(crate) parent: Option<Arc<Node>>,
    /// The recorder of the root, copied down so that "is anybody watching" is one look.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// The names of the steps around; `None` if there are none.
    pub(crate) path: Option<Path>,
    /// Whether this node or one above it is a [`Facet::Scope`].
    pub(crate) collects: bool,
    /// Whether this node or one above it is a [`Facet::UsageMeter`].
    pub(crate) metered: bool,
    /// Whether pipelines below note how long each stage took.
    pub(crate) timed: bool,
    pub(crate) facet: Facet,
}

pub(crate) enum Facet {
    /// The root of a recording.
    Root,
    /// A named step that nobody watches.
    Name,
    /// A call of a named step, as the recorder knows it.
    Call(Call),
    /// One item, branch or contender: provenance is collected here.
    Scope(Scope),
    /// A permit that the work below runs under.
    Lease(Lease),
    /// A call under a rate or a budget: it hears what the work below has used.
    UsageMeter(Arc<dyn UsageMeter>),
    /// The retries of one logical call.
    Retries(Retries),
    /// A budget that the call has put its share into.
    Deposit(RetryBudget),
    /// A contender of a race that the first output decides.
    Contender(Contender),
    /// The last sign of life, for idle timeouts.
    Heartbeat(Arc<Heartbeat>),
    /// Where chunks of output go.
    Chunks(ChunkSender),
    /// Whether any were shown below.
    Shown(Arc<AtomicBool>),
    /// Who else looks at them on the way.
    ChunkObserver(Arc<dyn ChunkObserver>),
    /// A call that tries whether the other side of a breaker is well again; the breaker, by its address.
    Probe(usize),
    /// What changes texts before anybody hears them.
    Redactor(Redactor),
    /// Cooperative cancellation.
    Signal(Arc<Signal>),
}

/// A call of a named step as the recorder knows it.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    /// What the call has collected so far; it goes to the surroundings when the call ends.
    pub(crate) ledger: ProvenanceCollector,
}

pub(crate) struct Scope {
    /// The index of a stream item; a branch or a contender has none.
    pub(crate) item: Option<usize>,
    /// Whether it counts only if it is taken over: an attempt, a contender, a step that has a fallback. What is
    /// used in it counts in any case.
    pub(crate) is_trial: bool,
    pub(crate) ledger: ProvenanceCollector,
}

impl Node {
    /// Puts a node that was used before below `parent`, at `path`.
    pub(super) fn take_place(&mut self, parent: Option<&Arc<Node>>, path: Option<Path>) {
        if let Some(parent) = parent {
            self.recorder = parent.recorder.clone();
            self.collects = parent.collects;
            self.metered = parent.metered;
            self.timed = parent.timed;
            self.parent = Some(parent.clone());
        }
        self.path = path;
    }

    /// Forgets everything about the call that used the node, so that nothing of it lives on.
    pub(super) fn leave_place(&mut self) {
        self.parent = None;
        self.recorder = None;
        self.collects = false;
        self.metered = false;
        self.timed = false;
        self.path = None;
    }

    /// This node and those above it, innermost first.
    pub(crate) fn chain(node: Option<&Arc<Node>>) -> impl Iterator<Item = &Arc<Node>> {
        std::iter::successors(node, |node| node.parent.as_ref())
    }
}
