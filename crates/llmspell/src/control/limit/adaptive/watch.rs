//! The calls under a limit that adapts: how they end is what it learns from.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::aimd::Aimd;
use super::gradient::Gradient;
use super::{Adaptive, Begun, Overload};
use crate::context::node::NodeKind;
use crate::context::{Context, Heartbeat, Permits};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::step::Step;

/// What the clones of a limit that adapts have learned together.
pub(crate) struct Adapting {
    settings: Adaptive,
    permits: Arc<Permits>,
    state: Mutex<Algorithm>,
}

enum Algorithm {
    Aimd(Aimd),
    Gradient(Gradient),
}

impl Algorithm {
    /// The part that both have, and that knows the limit.
    fn search(&self) -> &Aimd {
        match self {
            Algorithm::Aimd(aimd) => aimd,
            Algorithm::Gradient(gradient) => gradient.search(),
        }
    }
}

impl Adapting {
    pub(crate) fn new(settings: Adaptive) -> Self {
        let bounds = settings.bounds();
        let state = match settings.tolerance {
            None => Algorithm::Aimd(Aimd::new(bounds)),
            Some(tolerance) => Algorithm::Gradient(Gradient::new(bounds, tolerance)),
        };
        Adapting { settings, permits: Arc::new(Permits::new(bounds.initial)), state: Mutex::new(state) }
    }

    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }

    /// The limit, and how many permits there are, at one moment.
    #[cfg(all(test, shuttle))]
    pub(super) fn both(&self) -> (usize, usize) {
        let state = self.lock();
        (state.search().limit(), self.permits.load().capacity)
    }

    /// The most that the limit can be.
    pub(crate) fn most(&self) -> usize {
        self.lock().search().most()
    }

    /// Moves the upper bound of the limit.
    pub(crate) fn bound(&self, most: usize) {
        let mut state = self.lock();
        match &mut *state {
            Algorithm::Aimd(aimd) => aimd.bound(most),
            Algorithm::Gradient(gradient) => gradient.bound(most),
        }
        let called = self.permits.resize(state.search().limit());
        drop(state);
        called.wake();
    }

    /// Runs a step under a permit, and learns from how that ends.
    ///
    /// In a box, so that calls under a fixed limit, which do without all this, do not carry it about.
    pub(crate) fn run<'a, S: Step>(
        &'a self,
        step: &'a S,
        input: S::In,
        cx: &'a Context,
    ) -> Pin<Box<dyn Future<Output = Result<S::Out>> + Send + 'a>> {
        Box::pin(async move {
            let call = self.begin(cx);
            let result = step.run(input, call.context().unwrap_or(cx)).await;
            // The call still has its permit, so a limit that falls lets nobody in.
            call.end(&result, cx);
            result
        })
    }

    pub(super) fn begin(&self, cx: &Context) -> Watched<'_> {
        let in_use = self.permits.load().in_use;
        let begun = self.lock().search().begin(in_use);
        let first = self.settings.tolerance.map(|_| {
            let pulse = Arc::new(Heartbeat::default());
            (cx.child(NodeKind::Heartbeat(pulse.clone())), pulse)
        });
        Watched { adapting: self, begun, at: Instant::now(), first }
    }

    fn lock(&self) -> MutexGuard<'_, Algorithm> {
        lock(&self.state)
    }
}

/// A call under a limit that adapts. If it is dropped before its end, nothing is learned from it.
pub(super) struct Watched<'a> {
    adapting: &'a Adapting,
    begun: Begun,
    at: Instant,
    /// Where the first output is noted, if it matters when that comes.
    first: Option<(Context, Arc<Heartbeat>)>,
}

impl Watched<'_> {
    /// The context to run under, if it is not that of the permit.
    fn context(&self) -> Option<&Context> {
        self.first.as_ref().map(|(cx, _)| cx)
    }

    pub(super) fn end<T>(&self, result: &Result<T>, cx: &Context) {
        let now = Instant::now();
        let overload = match result {
            Ok(_) => None,
            Err(error) => match self.overload(error, cx) {
                Some(overload) => Some(overload),
                None => return,
            },
        };
        let mut state = self.adapting.lock();
        let from = state.search().limit();
        let reason = match (&mut *state, overload) {
            (Algorithm::Aimd(aimd), None) => aimd.succeeded(now, self.begun),
            (Algorithm::Aimd(aimd), Some(overload)) => aimd.overloaded(now, self.begun, overload),
            (Algorithm::Gradient(gradient), None) => {
                let first = self.first.as_ref().and_then(|(_, pulse)| pulse.times().first);
                gradient.succeeded(now, self.begun, first.unwrap_or(now) - self.at)
            }
            (Algorithm::Gradient(gradient), Some(overload)) => gradient.overloaded(now, self.begun, overload),
        };
        let to = state.search().limit();
        let Some(reason) = reason else { return };
        // Under the lock, so that limits are applied in the order in which they were found; those in line are
        // woken without it.
        let called = self.adapting.permits.resize(to);
        drop(state);
        called.wake();
        cx.record_event(|| EventKind::LimitChanged { from, to, reason });
    }

    /// What the error says of the load of the other side; `None` if nothing.
    fn overload(&self, error: &Error, cx: &Context) -> Option<Overload> {
        let root_cause = error.root_cause();
        if !self.adapting.settings.is_overload(root_cause) {
            return None;
        }
        if root_cause.kind() != ErrorKind::Timeout {
            return Some(Overload::Refused { quiet: error.retry_after() });
        }
        // It had no more time than the caller had left, who may have spent most of it in line.
        (!cx.is_past_deadline()).then_some(Overload::TimedOut)
    }
}
