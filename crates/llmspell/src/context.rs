//! What a running step sees: deadline, cancellation, step path, event sink, budgets.

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
mod usage_meter;
mod wait;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

pub(crate) use chunk::ChunkObserver;
pub use chunk::{Chunk, ChunkData, Chunks};
pub(crate) use deadline::TimeLimit;
pub use detached_work::{CallerGuard, WorkGuard};
pub(crate) use label::Label;
pub use lease::PermitHold;
pub(crate) use lease::{AcquiredPermit, LeasedContext, Permits};
pub(crate) use liveness::{Contender, FirstOutput, Heartbeat};
pub(crate) use retries::Retries;
pub use signal::Canceller;
pub(crate) use usage_meter::{MeterId, UsageMeter};

use crate::error::{Error, Result};
use crate::observe::event::{Event, EventKind, EventSink};
use crate::observe::outcome::{Collected, ProvenanceCollector, Quality};
use crate::observe::recorder::Recorder;
use crate::observe::report::Report;
use crate::path::Path;
use crate::runtime::executor;
use node::{Call, Facet, Node, Scope};

/// What a running step can see of the run around it.
///
/// Cloning costs a pointer. Deadlines only tighten on the way down. A plain context observes nothing and
/// costs next to nothing; [`Context::recording`] keeps what a [`Report`] needs.
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
    /// A context that nobody observes.
    pub fn new() -> Self {
        Context::default()
    }

    /// A context that keeps what happens for [`Context::report`] and [`Context::events`].
    ///
    /// The report is folded as events come in, so its memory depends on the number of steps, not of
    /// records. Of the events themselves the first 65,536 are kept.
    pub fn recording() -> Self {
        Context::new().observed_by(Recorder::recording())
    }

    /// This context, with every event below it handed to `sink` as well.
    ///
    /// If it records already, the sink is added and both share one clock. Calls made under other contexts
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
        let node = Node { recorder: Some(Arc::new(recorder)), ..self.node_with(Facet::Root, path) };
        Context { node: Some(Arc::new(node)), ..*self }
    }

    /// This context, with the time of each stage of a [pipeline](crate::pipeline) noted in the
    /// [provenance](crate::Provenance::stages) of what passes it. Costs some 100 ns a stage.
    pub fn with_stage_times(&self) -> Self {
        let path = self.node.as_ref().and_then(|node| node.path.clone());
        let node = Node { timed: true, ..self.node_with(Facet::Root, path) };
        Context { node: Some(Arc::new(node)), ..*self }
    }

    /// Which attempt this is of the nearest retry around, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt + 1
    }

    pub(crate) fn set_attempt(&mut self, attempt: u32) {
        self.attempt = attempt - 1;
    }

    /// The index of the stream item or record that this work belongs to, from 0.
    pub fn item(&self) -> Option<usize> {
        self.chain().find_map(|node| match &node.facet {
            Facet::Scope(scope) => scope.item,
            _ => None,
        })
    }

    /// The names of the steps around this work, outermost first.
    pub fn path(&self) -> Path {
        self.node.as_ref().and_then(|node| node.path.clone()).unwrap_or_else(Path::root)
    }

    /// Marks the result of this work as partial: `cause` was left out. It is said to have happened at this step, unless it
    /// names one already.
    pub fn mark_partial(&self, cause: Error) {
        self.degraded(Quality::Partial, vec![cause.at(|| self.path())]);
    }

    pub(crate) fn degraded(&self, quality: Quality, causes: Vec<Error>) {
        self.fact(|| EventKind::Degraded { quality, causes: causes.iter().map(Into::into).collect() });
        self.note(|entries| entries.lower_quality(quality, causes));
    }

    /// Runs `work` on a thread for blocking calls, under the permits of this context.
    ///
    /// A thread cannot be stopped. If the returned future is dropped, say by a timeout, its caller is free
    /// at once, the context that `work` was given turns [cancelled](Context::is_cancelled), and the
    /// permits stay taken until `work` really returns.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`](crate::ErrorKind::Panicked) if `work` panics, and whatever `work` returns.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Context) -> Result<T> + Send + 'static,
    {
        let (cx, canceller) = self.cancellable();
        let _cancel = canceller.on_drop();
        executor::blocking(cx, work).await
    }

    /// The report of everything under this context's recording so far; empty if nothing records.
    pub fn report(&self) -> Report {
        self.recorder().map(|recorder| recorder.report()).unwrap_or_default()
    }

    /// The events recorded so far, at most the first 65,536; empty if nothing records.
    pub fn events(&self) -> Vec<Event> {
        self.recorder().map(|recorder| recorder.events()).unwrap_or_default()
    }

    // ---- for combinators

    pub(crate) fn chain(&self) -> impl Iterator<Item = &Arc<Node>> {
        Node::chain(self.node.as_ref())
    }

    /// A context with one more facet.
    #[inline(always)]
    pub(crate) fn child(&self, facet: Facet) -> Context {
        let path = self.node.as_ref().and_then(|node| node.path.clone());
        Context { node: Some(Arc::new(self.node_with(facet, path))), ..*self }
    }

    /// A context with one more facet, at another path.
    pub(crate) fn child_at(&self, facet: Facet, path: Path) -> Context {
        Context { node: Some(Arc::new(self.node_with(facet, Some(path)))), ..*self }
    }

    // Inlined, as `child` is, for the facet is large: it is made where it stays, and not moved there.
    #[inline(always)]
    fn node_with(&self, facet: Facet, path: Option<Path>) -> Node {
        let (recorder, collects, metered, timed) = match &self.node {
            Some(node) => (node.recorder.clone(), node.collects, node.metered, node.timed),
            None => (None, false, false, false),
        };
        let collects = collects || matches!(facet, Facet::Scope(_) | Facet::Call(_));
        let metered = metered || matches!(facet, Facet::UsageMeter(_));
        Node { parent: self.node.clone(), recorder, path, collects, metered, timed, facet }
    }

    /// A context in which provenance is collected apart from that of the surroundings.
    pub(crate) fn scope(&self, item: Option<usize>) -> Context {
        self.child(Facet::Scope(Scope { item, is_trial: false, ledger: ProvenanceCollector::default() }))
    }

    /// A context whose provenance counts only if it is [taken over](Context::take_over); `None` if nobody collects
    /// any, for then this one will do.
    pub(crate) fn apart(&self) -> Option<Context> {
        let trial = || Scope { item: None, is_trial: true, ledger: ProvenanceCollector::default() };
        self.collects().then(|| self.child(Facet::Scope(trial())))
    }

    /// Whether anybody collects provenance above.
    pub(crate) fn collects(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.collects)
    }

    /// Writes into the nearest scope, if there is one.
    pub(crate) fn note(&self, entry: impl FnOnce(&mut Collected)) {
        if self.collects()
            && let Some(ledger) = self.ledger()
        {
            ledger.write(entry);
        }
    }

    /// Writes into every scope above that tells of it whatever becomes of this work: what was spent on a trial that fails
    /// was spent.
    pub(crate) fn note_throughout(&self, entry: impl Fn(&mut Collected)) {
        if !self.collects() {
            return;
        }
        for node in self.chain() {
            if let Facet::Scope(scope) = &node.facet
                && !scope.is_trial
            {
                scope.ledger.write(&entry);
            }
        }
    }

    /// Whether the time of stages is to be noted, and somebody collects it.
    pub(crate) fn times_stages(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.timed && node.collects)
    }

    /// Takes over what the scope of a winner has collected.
    pub(crate) fn take_over(&self, winner: &Context) {
        if self.collects()
            && let (Some(mine), Some(theirs)) = (self.ledger(), winner.ledger())
        {
            mine.merge(theirs);
        }
    }

    /// The ledger of the nearest scope or recorded call.
    pub(crate) fn ledger(&self) -> Option<&ProvenanceCollector> {
        self.ledgers().next()
    }

    fn ledgers(&self) -> impl Iterator<Item = &ProvenanceCollector> {
        self.chain().filter_map(|node| match &node.facet {
            Facet::Scope(scope) => Some(&scope.ledger),
            Facet::Call(call) => Some(&call.ledger),
            _ => None,
        })
    }

    /// Hands what a recorded call has collected to its surroundings; says how good its result is.
    pub(crate) fn end_call(&self) -> Quality {
        let mut ledgers = self.ledgers();
        let Some(mine) = ledgers.next() else { return Quality::Full };
        let quality = mine.quality();
        if let Some(outer) = ledgers.next() {
            outer.merge(mine);
        }
        quality
    }

    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.node.as_ref()?.recorder.as_ref()
    }

    /// Records a fact about the nearest named call. Costs one look if nobody listens.
    pub(crate) fn fact(&self, fact: impl FnOnce() -> EventKind) {
        if self.recorder().is_some() {
            self.fact_at(Instant::now(), fact);
        }
    }

    /// The same at a time that the caller has read from the clock already: a read costs as much as the rest of an event.
    pub(crate) fn fact_at(&self, at: Instant, fact: impl FnOnce() -> EventKind) {
        if let Some(recorder) = self.recorder() {
            recorder.record(self.call(), self.item(), at, self.scrubbed(fact()));
        }
    }

    /// The nearest call that the recorder knows, and its path.
    fn call(&self) -> Option<(&Call, &Path)> {
        self.chain().find_map(|node| match (&node.facet, &node.path) {
            (Facet::Call(call), Some(path)) => Some((call, path)),
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
