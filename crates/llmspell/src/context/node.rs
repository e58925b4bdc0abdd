//! The nodes of a [`Context`](crate::Context): a chain from a call up to the root.
//!
//! Each combinator with information for the steps below it adds one node. A plain context has none, so
//! unobserved work pays nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::chunk::{ChunkObserver, ChunkSender};
use super::deposit::RetryDeposit;
use super::lease::Lease;
use super::liveness::{Contender, Heartbeat};
use super::redactor::Redactor;
use super::retries::Retries;
use super::signal::Signal;
use super::usage_meter::UsageMeter;
use crate::observe::outcome::ProvenanceCollector;
use crate::observe::recorder::Recorder;
use crate::path::Path;

/// One link of the chain, with data of the links above copied down for quick checks.
pub(crate) struct Node {
    pub(crate) parent: Option<Arc<Node>>,
    /// The recorder of the root, copied down so that checking for one is a single load.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// The names of the steps around the work; `None` if there are none.
    pub(crate) path: Option<Path>,
    /// Whether this node or one above it collects provenance ([`NodeKind::Scope`] or [`NodeKind::Call`]).
    pub(crate) collects: bool,
    /// Whether this node or one above it is a [`NodeKind::UsageMeter`].
    pub(crate) metered: bool,
    /// Whether pipelines below record stage times.
    pub(crate) timed: bool,
    pub(crate) kind: NodeKind,
}

/// The information that one combinator gives the work below it.
pub(crate) enum NodeKind {
    /// The root of a recording.
    Root,
    /// A named step without a recorder.
    Name,
    /// A call of a named step, as the recorder knows it.
    Call(RecordedCall),
    /// One item, branch or contender, which collects provenance.
    Scope(Scope),
    /// A permit of the work below.
    Lease(Lease),
    /// A call under a rate or a budget, which receives the usage of the work below.
    UsageMeter(Arc<dyn UsageMeter>),
    /// The retries of one logical call.
    Retries(Retries),
    /// A bucket that the call has deposited into. It is kept alive, so that no other one gets its address.
    Deposit(Arc<dyn RetryDeposit>),
    /// A contender of a first-output race.
    Contender(Contender),
    /// The signs of life of the work below, for idle timeouts.
    Heartbeat(Arc<Heartbeat>),
    /// The sender of partial output.
    Chunks(ChunkSender),
    /// Whether any output was emitted below.
    OutputShown(Arc<AtomicBool>),
    /// An observer of partial output.
    ChunkObserver(Arc<dyn ChunkObserver>),
    /// A call that probes a half-open breaker; the breaker is identified by its address.
    Probe(usize),
    /// A function that redacts texts before any observer sees them.
    Redactor(Redactor),
    /// Cooperative cancellation.
    Signal(Arc<Signal>),
}

/// A call of a named step as the recorder knows it.
pub(crate) struct RecordedCall {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    /// The provenance collected so far; it merges into the outer scope when the call ends.
    pub(crate) collector: ProvenanceCollector,
}

/// A part of the work that collects provenance separately.
pub(crate) struct Scope {
    /// The index of a stream item; `None` for a branch or a contender.
    pub(crate) item: Option<usize>,
    /// Whether the provenance counts only if it is merged: an attempt, a contender, a step with a fallback. Its
    /// usage counts in any case.
    pub(crate) is_trial: bool,
    pub(crate) collector: ProvenanceCollector,
}

impl Node {
    /// Attaches a spare node below `parent`, at `path`.
    pub(super) fn attach(&mut self, parent: Option<&Arc<Node>>, path: Option<Path>) {
        if let Some(parent) = parent {
            self.recorder = parent.recorder.clone();
            self.collects = parent.collects;
            self.metered = parent.metered;
            self.timed = parent.timed;
            self.parent = Some(parent.clone());
        }
        self.path = path;
    }

    /// Clears all data of the previous call, so that nothing of it is kept alive.
    pub(super) fn detach(&mut self) {
        self.parent = None;
        self.recorder = None;
        self.collects = false;
        self.metered = false;
        self.timed = false;
        self.path = None;
    }

    /// Returns this node and those above it, innermost first.
    pub(crate) fn chain(node: Option<&Arc<Node>>) -> impl Iterator<Item = &Arc<Node>> {
        std::iter::successors(node, |node| node.parent.as_ref())
    }
}
