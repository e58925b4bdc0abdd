//! An adaptive limit at work: it applies the algorithm to the semaphore, and learns from how calls end.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::aimd::Aimd;
use super::gradient::Gradient;
use super::{Adaptive, CallStart, Overload};
use crate::context::node::NodeKind;
use crate::context::{Context, Heartbeat, Permits};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::step::Step;

/// The shared state of the clones of an adaptive limit.
pub(crate) struct AdaptiveLimit {
    settings: Adaptive,
    semaphore: Arc<Permits>,
    algorithm: Mutex<Algorithm>,
}

enum Algorithm {
    Aimd(Aimd),
    Gradient(Gradient),
}

impl Algorithm {
    /// Returns the part that both have, which knows the limit.
    fn aimd(&self) -> &Aimd {
        match self {
            Algorithm::Aimd(aimd) => aimd,
            Algorithm::Gradient(gradient) => gradient.aimd(),
        }
    }
}

impl AdaptiveLimit {
    pub(crate) fn new(settings: Adaptive) -> Self {
        let bounds = settings.bounds();
        let algorithm = match settings.tolerance {
            None => Algorithm::Aimd(Aimd::new(bounds)),
            Some(tolerance) => Algorithm::Gradient(Gradient::new(bounds, tolerance)),
        };
        let semaphore = Arc::new(Permits::new(bounds.initial));
        AdaptiveLimit { settings, semaphore, algorithm: Mutex::new(algorithm) }
    }

    pub(crate) fn semaphore(&self) -> &Arc<Permits> {
        &self.semaphore
    }

    /// Returns the limit and the number of permits at one moment.
    #[cfg(all(test, shuttle))]
    pub(super) fn limit_and_capacity(&self) -> (usize, usize) {
        let algorithm = self.lock();
        (algorithm.aimd().limit(), self.semaphore.load().capacity)
    }

    /// Returns the upper bound of the limit.
    pub(crate) fn max(&self) -> usize {
        self.lock().aimd().max()
    }

    /// Changes the upper bound of the limit.
    pub(crate) fn set_max(&self, max: usize) {
        let mut algorithm = self.lock();
        match &mut *algorithm {
            Algorithm::Aimd(aimd) => aimd.set_max(max),
            Algorithm::Gradient(gradient) => gradient.set_max(max),
        }
        let wake_list = self.semaphore.resize(algorithm.aimd().limit());
        drop(algorithm);
        wake_list.wake();
    }

    /// Runs a step under a permit, and learns from how the call ends.
    ///
    /// Boxed, so that calls under a fixed limit do not carry the state of this future.
    pub(crate) fn run<'a, S: Step>(
        &'a self,
        step: &'a S,
        input: S::In,
        cx: &'a Context,
    ) -> Pin<Box<dyn Future<Output = Result<S::Out>> + Send + 'a>> {
        Box::pin(async move {
            let call = self.start_call(cx);
            let result = step.run(input, call.context().unwrap_or(cx)).await;
            // The call still holds its permit, so a limit that falls admits no other call.
            call.end(&result, cx);
            result
        })
    }

    pub(super) fn start_call(&self, cx: &Context) -> AdaptiveCall<'_> {
        let in_use = self.semaphore.load().in_use;
        let start = self.lock().aimd().start_call(in_use);
        let first_output = self.settings.tolerance.map(|_| {
            let heartbeat = Arc::new(Heartbeat::default());
            (cx.child(NodeKind::Heartbeat(heartbeat.clone())), heartbeat)
        });
        AdaptiveCall { limit: self, start, started: Instant::now(), first_output }
    }

    fn lock(&self) -> MutexGuard<'_, Algorithm> {
        lock(&self.algorithm)
    }
}

/// A call under an adaptive limit. If it is dropped before its end, the limit learns nothing from it.
pub(super) struct AdaptiveCall<'a> {
    limit: &'a AdaptiveLimit,
    start: CallStart,
    started: Instant,
    /// Where the first output is noted, if latency counts.
    first_output: Option<(Context, Arc<Heartbeat>)>,
}

impl AdaptiveCall<'_> {
    /// Returns the context to run under, if it is not that of the permit.
    fn context(&self) -> Option<&Context> {
        self.first_output.as_ref().map(|(cx, _)| cx)
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
        let mut algorithm = self.limit.lock();
        let from = algorithm.aimd().limit();
        let reason = match (&mut *algorithm, overload) {
            (Algorithm::Aimd(aimd), None) => aimd.succeeded(now, self.start),
            (Algorithm::Aimd(aimd), Some(overload)) => aimd.overloaded(now, self.start, overload),
            (Algorithm::Gradient(gradient), None) => {
                let first = self.first_output.as_ref().and_then(|(_, heartbeat)| heartbeat.times().first);
                gradient.succeeded(now, self.start, first.unwrap_or(now) - self.started)
            }
            (Algorithm::Gradient(gradient), Some(overload)) => gradient.overloaded(now, self.start, overload),
        };
        let to = algorithm.aimd().limit();
        let Some(reason) = reason else { return };
        // Under the lock, so that limits are applied in the order in which they were found. Waiters are woken without
        // it.
        let wake_list = self.limit.semaphore.resize(to);
        drop(algorithm);
        wake_list.wake();
        cx.record_event(|| EventKind::LimitChanged { from, to, reason });
    }

    /// Returns the overload that an error reports, if it does.
    fn overload(&self, error: &Error, cx: &Context) -> Option<Overload> {
        let root_cause = error.root_cause();
        if !self.limit.settings.is_overload(root_cause) {
            return None;
        }
        if root_cause.kind() != ErrorKind::Timeout {
            return Some(Overload::Rejected { retry_after: error.retry_after() });
        }
        // Past the deadline, the call had only the time that its caller had left, and may have spent most of it
        // waiting.
        (!cx.is_past_deadline()).then_some(Overload::TimedOut)
    }
}
