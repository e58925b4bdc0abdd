//! Named steps: the source of paths, call events and report rows.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Step, StepInfo};
use crate::context::{Context, Label};
use crate::error::Result;
use crate::observe::event::EventKind;

/// A step with a name; made by [`Step::named`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Named<S> {
    step: S,
    label: Label,
}

impl<S> Named<S> {
    pub(crate) fn new(step: S, name: Arc<str>) -> Self {
        Named { step, label: Label::new(name) }
    }

    pub(crate) fn into_inner(self) -> S {
        self.step
    }
}

impl<S: Step> Step for Named<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let cx = cx.named(&self.label);
        call(&cx, self.step.run(input, &cx)).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info().named(self.label.name())
    }
}

/// Runs the work of a named step under its own context: adds the path to its errors, records its start and its
/// end.
pub(crate) async fn call<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    let record = CallRecord::start(cx);
    let result = work.await.map_err(|error| error.at(|| cx.path()));
    record.end(&result);
    result
}

/// Records how a call ends, also if the call is dropped.
struct CallRecord<'a> {
    cx: &'a Context,
    /// `None` without a recorder, and once the end is recorded.
    started: Option<Instant>,
}

impl<'a> CallRecord<'a> {
    fn start(cx: &'a Context) -> Self {
        let started = cx.recorder().map(|_| Instant::now());
        if let Some(started) = started {
            cx.record_event_at(started, || EventKind::Started);
        }
        CallRecord { cx, started }
    }

    fn end<T>(mut self, result: &Result<T>) {
        if let Some(started) = self.started.take() {
            let (now, quality) = (Instant::now(), self.cx.end_call());
            let took = now - started;
            self.cx.record_event_at(now, || match result {
                Ok(_) => EventKind::Finished { took, quality },
                Err(error) => EventKind::Failed { took, error: error.into() },
            });
        }
    }
}

impl Drop for CallRecord<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            let took = started.elapsed();
            self.cx.record_event(|| EventKind::Cancelled { took });
        }
    }
}
