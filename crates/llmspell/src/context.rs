//! The context of a running step: deadline, cancellation, step path, observers and meters.
//!
//! It owns the chain of nodes from a call up to the root. It must not decide admission: that belongs to flow
//! control.

mod admission_gate;
mod admit;
mod chunk;
mod deadline;
mod deposit;
mod detached_work;
mod label;
mod lease;
mod liveness;
mod merge;
pub(crate) mod node;
mod redactor;
mod retries;
mod signal;
mod spawn;
mod usage_meter;
mod wait;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

pub(crate) use admission_gate::AdmissionGate;
pub(crate) use chunk::ChunkObserver;
pub use chunk::{Chunk, ChunkData, Chunks};
pub(crate) use deadline::TimeLimit;
pub(crate) use deposit::RetryDeposit;
pub use detached_work::{CallerGuard, WorkGuard};
pub(crate) use label::Label;
pub use lease::PermitHold;
pub(crate) use lease::{AcquiredPermit, LeasedContext, Permits};
pub(crate) use liveness::{Contender, FirstOutput, Heartbeat};
pub(crate) use retries::Retries;
pub use signal::Canceller;
pub(crate) use usage_meter::{MeterId, Renewal, UsageMeter};

use crate::error::Error;
use crate::observe::event::{Event, EventKind, EventSink};
use crate::observe::outcome::{Collected, ProvenanceCollector, Quality};
use crate::observe::recorder::{EventCall, Recorder};
use crate::observe::report::Report;
use crate::path::Path;
use node::{Node, NodeKind, Scope};

/// A running step's view of the run around it.
///
/// Cloning costs one reference count. A deadline can only become earlier on the way down. A plain context
/// observes nothing and costs next to nothing; [`Context::recording`] keeps the data of a [`Report`].
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Context, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let left = step(|(), cx: Context| async move { Ok(cx.remaining()) }).timeout(Duration::from_secs(5));
/// let left = left.run((), &Context::new()).await?;
/// assert!(left.unwrap() <= Duration::from_secs(5));
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Context {
    node: Option<Arc<Node>>,
    deadline: Option<Instant>,
    /// The attempt of the nearest retry, from 0.
    attempt: u32,
}

impl Context {
    /// Returns a context without observers.
    pub fn new() -> Self {
        Context::default()
    }

    /// Returns a context that records events for [`Context::report`] and [`Context::events`].
    ///
    /// The report is folded as events arrive, so its memory depends on the number of steps, not of records.
    /// Only the first 65,536 events are kept.
    pub fn recording() -> Self {
        Context::new().observed_by(Recorder::recording())
    }

    /// Returns this context with `sink` receiving every event below it as well.
    ///
    /// If this context already records, the sink is added and both share one clock. Calls under other contexts
    /// are not affected.
    pub fn with_sink(&self, sink: impl EventSink) -> Self {
        let recorder = match self.recorder() {
            Some(recorder) => recorder.with_sink(Arc::new(sink)),
            None => Recorder::new().with_sink(Arc::new(sink)),
        };
        self.observed_by(recorder)
    }

    fn observed_by(&self, recorder: Recorder) -> Self {
        let path = self.node.as_ref().and_then(|node| node.path.clone());
        let node = Node { recorder: Some(Arc::new(recorder)), ..self.node_with(NodeKind::Root, path) };
        Context { node: Some(Arc::new(node)), ..*self }
    }

    /// Returns this context with stage times: the time of each stage of a [pipeline](crate::pipeline) goes into
    /// the [provenance](crate::observe::Provenance::stages) of its records. Costs about 100 ns per stage.
    pub fn with_stage_times(&self) -> Self {
        let path = self.node.as_ref().and_then(|node| node.path.clone());
        let node = Node { timed: true, ..self.node_with(NodeKind::Root, path) };
        Context { node: Some(Arc::new(node)), ..*self }
    }

    /// Returns the attempt number of the nearest enclosing retry, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt + 1
    }

    pub(crate) fn set_attempt(&mut self, attempt: u32) {
        self.attempt = attempt - 1;
    }

    /// Returns the index of the stream item or record that this work belongs to, from 0.
    pub fn item(&self) -> Option<usize> {
        self.chain().find_map(|node| match &node.kind {
            NodeKind::Scope(scope) => scope.item,
            _ => None,
        })
    }

    /// Returns the names of the steps around this work, outermost first.
    pub fn path(&self) -> Path {
        self.node.as_ref().and_then(|node| node.path.clone()).unwrap_or_else(Path::root)
    }

    /// Marks the result of this work as partial because of `cause`.
    ///
    /// The path of `cause` is this step's, unless it has one.
    pub fn mark_partial(&self, cause: Error) {
        self.lower_quality(Quality::Partial, vec![cause.at(|| self.path())]);
    }

    pub(crate) fn lower_quality(&self, quality: Quality, causes: Vec<Error>) {
        self.record_event(|| EventKind::Degraded { quality, causes: causes.iter().map(Into::into).collect() });
        self.record_provenance(|collected| collected.lower_quality(quality, causes));
    }

    /// Returns the report of everything recorded under this context so far; empty without a recorder.
    pub fn report(&self) -> Report {
        self.recorder().map(|recorder| recorder.report()).unwrap_or_default()
    }

    /// Returns the events recorded so far, at most the first 65,536; empty without a recorder.
    pub fn events(&self) -> Vec<Event> {
        self.recorder().map(|recorder| recorder.events()).unwrap_or_default()
    }

    // ---- For combinators.

    pub(crate) fn chain(&self) -> impl Iterator<Item = &Arc<Node>> {
        Node::chain(self.node.as_ref())
    }

    /// Returns a context with one more node, at the same path.
    #[inline(always)]
    pub(crate) fn child(&self, kind: NodeKind) -> Context {
        let path = self.node.as_ref().and_then(|node| node.path.clone());
        Context { node: Some(Arc::new(self.node_with(kind, path))), ..*self }
    }

    /// Returns a context with one more node, at `path`.
    pub(crate) fn child_at(&self, kind: NodeKind, path: Path) -> Context {
        Context { node: Some(Arc::new(self.node_with(kind, Some(path)))), ..*self }
    }

    // Inlined, as `child` is, because `NodeKind` is large: it is built in place and not moved.
    #[inline(always)]
    fn node_with(&self, kind: NodeKind, path: Option<Path>) -> Node {
        let (recorder, collects, metered, timed) = match &self.node {
            Some(node) => (node.recorder.clone(), node.collects, node.metered, node.timed),
            None => (None, false, false, false),
        };
        let collects = collects || matches!(kind, NodeKind::Scope(_) | NodeKind::Call(_));
        let metered = metered || matches!(kind, NodeKind::UsageMeter(_));
        Node { parent: self.node.clone(), recorder, path, collects, metered, timed, kind }
    }

    /// Returns a context that collects provenance separately from the work around it.
    pub(crate) fn scope(&self, item: Option<usize>) -> Context {
        self.child(NodeKind::Scope(Scope { item, is_trial: false, collector: ProvenanceCollector::default() }))
    }

    /// Returns a trial context: its provenance counts only if it is [merged](Context::merge_provenance). `None`
    /// if no scope above collects provenance; then this context serves as well.
    pub(crate) fn trial_scope(&self) -> Option<Context> {
        let trial = || Scope { item: None, is_trial: true, collector: ProvenanceCollector::default() };
        self.collects_provenance().then(|| self.child(NodeKind::Scope(trial())))
    }

    /// Returns whether a scope above collects provenance.
    pub(crate) fn collects_provenance(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.collects)
    }

    /// Writes provenance into the nearest scope, if there is one.
    pub(crate) fn record_provenance(&self, entry: impl FnOnce(&mut Collected)) {
        if self.collects_provenance()
            && let Some(collector) = self.collector()
        {
            collector.write(entry);
        }
    }

    /// Writes a cost into every scope above that is not a trial: the cost of a failed trial counts as well.
    pub(crate) fn record_cost(&self, entry: impl Fn(&mut Collected)) {
        if !self.collects_provenance() {
            return;
        }
        for node in self.chain() {
            if let NodeKind::Scope(scope) = &node.kind
                && !scope.is_trial
            {
                scope.collector.write(&entry);
            }
        }
    }

    /// Returns whether stage times are recorded and a scope collects them.
    pub(crate) fn times_stages(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.timed && node.collects)
    }

    /// Merges the provenance of a trial that won.
    pub(crate) fn merge_provenance(&self, winner: &Context) {
        if self.collects_provenance()
            && let (Some(mine), Some(theirs)) = (self.collector(), winner.collector())
        {
            mine.merge(theirs);
        }
    }

    /// Returns the collector of the nearest scope or recorded call.
    pub(crate) fn collector(&self) -> Option<&ProvenanceCollector> {
        self.collectors().next()
    }

    fn collectors(&self) -> impl Iterator<Item = &ProvenanceCollector> {
        self.chain().filter_map(|node| match &node.kind {
            NodeKind::Scope(scope) => Some(&scope.collector),
            NodeKind::Call(call) => Some(&call.collector),
            _ => None,
        })
    }

    /// Merges what a recorded call has collected into the scope around it, and returns the quality of its
    /// result.
    pub(crate) fn end_call(&self) -> Quality {
        let mut collectors = self.collectors();
        let Some(mine) = collectors.next() else { return Quality::Full };
        let quality = mine.quality();
        if let Some(outer) = collectors.next() {
            outer.merge(mine);
        }
        quality
    }

    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.node.as_ref()?.recorder.as_ref()
    }

    /// Records an event of the nearest named call. Costs one branch without a recorder.
    pub(crate) fn record_event(&self, event: impl FnOnce() -> EventKind) {
        if self.recorder().is_some() {
            self.record_event_at(Instant::now(), event);
        }
    }

    /// Records an event at a time that the caller has read from the clock already: a read costs as much as the rest of
    /// an event.
    pub(crate) fn record_event_at(&self, at: Instant, event: impl FnOnce() -> EventKind) {
        if let Some(recorder) = self.recorder() {
            recorder.record(self.call(), self.item(), at, self.redacted(event()));
        }
    }

    /// Returns the nearest call known to the recorder.
    fn call(&self) -> Option<EventCall<'_>> {
        self.chain().find_map(|node| match (&node.kind, &node.path) {
            (NodeKind::Call(call), Some(path)) => Some(EventCall { id: call.id, parent: call.parent, path }),
            _ => None,
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("path", &self.path())
            .field("attempt", &self.attempt())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
