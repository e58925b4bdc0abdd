//! Names: where paths, events and rows of the report come from.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Step, StepInfo};
use crate::context::{Context, Label};
use crate::error::Result;
use crate::observe::event::EventKind;

/// A step with a name; made by [`Step::named`].
#[derive(Clone)]
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

/// Runs the work of a named step under its own context: stamps its errors, reports its start and its end.
pub(crate) async fn call<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    let watch = Watch::start(cx);
    let result = work.await.map_err(|error| error.at(|| cx.path()));
    watch.end(&result);
    result
}

/// Reports how a call ends, also if it is dropped.
struct Watch<'a> {
    cx: &'a Context,
    /// Only where a recorder listens, and until the end is reported.
    started: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn start(cx: &'a Context) -> Self {
        let started = cx.recorder().map(|_| Instant::now());
        if let Some(started) = started {
            cx.fact_at(started, || EventKind::Started);
        }
        Watch { cx, started }
    }

    fn end<T>(mut self, result: &Result<T>) {
        if let Some(started) = self.started.take() {
            let (now, quality) = (Instant::now(), self.cx.end_call());
            let took = now - started;
            self.cx.fact_at(now, || match result {
                Ok(_) => EventKind::Finished { took, quality },
                Err(error) => EventKind::Failed { took, error: error.into() },
            });
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            let took = started.elapsed();
            self.cx.fact(|| EventKind::Cancelled { took });
        }
    }
}
