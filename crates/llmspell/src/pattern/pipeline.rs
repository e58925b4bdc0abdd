//! Stages in sequence, each with its own limit; records overlap across them.
//!
//! *Waits for* every stage of every record.
//! *Cancels* what is behind a record that is stopped: it goes through no further stage.
//! *Bounds* the calls in each stage ([`Pipeline::limit`]) and, streamed, the records in flight
//! ([`Streaming::limit`](crate::Streaming::limit)). There are no queues between stages beyond that: a
//! record that waits for a stage is one of those in flight.
//! *Fails with* the error of the stage, per record; its path names the stage.
//!
//! One record passes through its stages one after another. Overlap comes from [streaming] many: while one
//! record is in the second stage, another is in the first. Waiting records enter a stage in the order in
//! which they came to it; a permit is given back before the next stage begins.
//!
//! [streaming]: crate::Step::stream
//!
//! ```
//! use llmspell::{Context, Step, pipeline, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let fetch = step(|id: u32, _| async move { Ok(format!("page {id}")) });
//! let count = step(|page: String, _| async move { Ok(page.len()) });
//! let flow = pipeline("index").stage("fetch", fetch).limit(8).stage("count", count).limit(2);
//!
//! let cx = Context::recording();
//! let sizes = flow.stream(0..100, &cx).ordered().try_collect().await?;
//! assert_eq!(sizes[99], 7);
//! assert_eq!(cx.report().pipelines[0].records, 100);
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::time::Instant;

use crate::context::node::Facet;
use crate::context::{AcquiredPermit, Context, Label};
use crate::control::limit::Limit;
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::runtime::executor::yield_if_due;
use crate::step::{BoxStep, Step, StepInfo, call};

/// Begins a pipeline; add stages with [`Pipeline::stage`]. The name stands in paths and in the report.
pub fn pipeline<In: Send + 'static>(name: impl Into<Arc<str>>) -> Pipeline<Start<In>> {
    Pipeline { label: Label::new(name.into()), stages: Start(PhantomData) }
}

/// Stages in sequence; made by [`pipeline`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Pipeline<C> {
    label: Label,
    stages: C,
}

/// A pipeline without stages.
pub struct Start<In>(PhantomData<fn(In)>);

impl<In> Clone for Start<In> {
    fn clone(&self) -> Self {
        Start(PhantomData)
    }
}

/// The last stage of a pipeline and everything before it.
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Stage<C, S> {
    before: C,
    place: usize,
    label: Label,
    step: S,
    limit: Limit,
}

mod sealed {
    use super::{Context, Label, Result, StepInfo};

    /// The stages of a pipeline so far.
    pub trait Chain: Send + Sync + 'static {
        type In: Send + 'static;
        type Out: Send + 'static;

        /// Takes a record through the stages; `cx` is that of the pipeline, or if nobody watches, that around
        /// it, for then `outer`, the name of the pipeline, has no node.
        fn pass(&self, record: Self::In, cx: &Context, outer: &Label)
        -> impl Future<Output = Result<Self::Out>> + Send;

        /// How many stages there are.
        fn len(&self) -> usize;

        /// What is known of the stages together; in flight: how many records keep all of them busy.
        fn info(&self) -> StepInfo<'_>;
    }

    /// A chain that can run: one that has a stage, or a number of them that only the running program knows.
    pub trait Staged: Chain {}
}
use sealed::{Chain, Staged};

impl<In: Send + 'static> Chain for Start<In> {
    type In = In;
    type Out = In;

    async fn pass(&self, record: In, _: &Context, _: &Label) -> Result<In> {
        Ok(record)
    }

    fn len(&self) -> usize {
        0
    }

    fn info(&self) -> StepInfo<'_> {
        StepInfo::default().in_flight(0).idempotent()
    }
}

impl<C: Chain, S: Step<In = C::Out>> Staged for Stage<C, S> {}

impl<T: Send + 'static> Staged for Stages<T> {}

/// What an unlimited stage counts for in the default number of records in flight.
const UNLIMITED_STAGE: usize = 16;

impl<C: Chain, S: Step<In = C::Out>> Chain for Stage<C, S> {
    type In = C::In;
    type Out = S::Out;

    async fn pass(&self, record: C::In, cx: &Context, outer: &Label) -> Result<S::Out> {
        let record = self.before.pass(record, cx, outer).await?;
        let arrived = cx.times_stages().then(Instant::now);
        if cx.recorder().is_some() {
            let below = cx.named(&self.label);
            let result = call(&below, self.enter(record, &below)).await;
            if let Some(arrived) = arrived {
                cx.note(|entries| entries.add_stage_time(below.path(), arrived.elapsed()));
            }
            return result;
        }
        // Nobody watches: one node can hold both names and the permit.
        let path = || cx.path_below(outer, &self.label);
        let result = match self.limit.permits() {
            None => self.step.run(record, &cx.child_at(Facet::Name, path())).await,
            Some(permits) => {
                yield_if_due().await;
                let grant = match AcquiredPermit::now(permits) {
                    Some(grant) => Ok(grant),
                    None => Limit::wait(permits, cx, None).await,
                };
                match grant {
                    Ok(grant) => {
                        let cx = cx.under_permit(grant, Some(path()));
                        match self.limit.adapting() {
                            None => self.step.run(record, &cx).await,
                            Some(adapting) => adapting.run(&self.step, record, &cx).await,
                        }
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if let Some(arrived) = arrived {
            cx.note(|entries| entries.add_stage_time(path(), arrived.elapsed()));
        }
        result.map_err(|error| error.at(path))
    }

    fn len(&self) -> usize {
        self.place + 1
    }

    fn info(&self) -> StepInfo<'_> {
        // One more than the limit: a record waits at the door, and the stage never runs dry.
        let step = self.step.info();
        let calls = step.limited_if(self.limit.most()).limit;
        let here = calls.map_or(UNLIMITED_STAGE, |calls| calls.saturating_add(1));
        let before = self.before.info();
        before.and(step).in_flight(before.default_in_flight.saturating_add(here))
    }
}

impl<C: Chain, S: Step<In = C::Out>> Stage<C, S> {
    /// How many records may be at work in it now: its own limit, or that of its step, whichever is smaller.
    fn calls(&self) -> Option<usize> {
        self.step.info().limited_if(self.limit.calls()).limit
    }

    /// Passes the stage under the eyes of a recorder.
    async fn enter(&self, record: C::Out, cx: &Context) -> Result<S::Out> {
        let arrived = Instant::now();
        let admitted = self.limit.admit(cx).await?;
        // Without a limit there was no wait: a read of the clock costs as much as the rest of an event.
        let began = if admitted.is_some() { Instant::now() } else { arrived };
        let result = match &admitted {
            Some(cx) => match self.limit.adapting() {
                None => self.step.run(record, cx).await,
                Some(adapting) => adapting.run(&self.step, record, cx).await,
            },
            None => self.step.run(record, cx).await,
        };
        let left = Instant::now();
        cx.fact_at(left, || EventKind::PipelineStage {
            stage: self.place,
            name: self.label.name().to_owned(),
            limit: self.calls(),
            waited: began - arrived,
            took: left - began,
        });
        result
    }
}

impl<C: Chain> Pipeline<C> {
    /// Adds a stage after those there are. The name stands in paths; a step that has one itself, such as a
    /// tool, gets a row of its own below it in the report.
    pub fn stage<S>(self, name: impl Into<Arc<str>>, step: S) -> Pipeline<Stage<C, S>>
    where
        S: Step<In = C::Out>,
    {
        let place = self.stages.len();
        let stages =
            Stage { before: self.stages, place, label: Label::new(name.into()), step, limit: Limit::unlimited() };
        Pipeline { label: self.label, stages }
    }
}

impl<C, S> Pipeline<Stage<C, S>> {
    /// Lets at most so many records be in the stage added last; a [`Limit`] can be shared. The default is
    /// no limit, or what the step itself is [limited](Step::limit) to. (To limit how many records are in the pipeline, limit the stream of it, or use
    /// [`Step::limit`] on it: `Step::limit(pipeline, n)`.)
    ///
    /// # Panics
    /// If the limit is 0.
    pub fn limit(mut self, limit: impl Into<Limit>) -> Self {
        self.stages.limit = limit.into();
        self
    }
}

/// Stages in a number that only the running program knows, all over one type; see [`Pipeline::of_stages`].
pub struct Stages<T>(Vec<Stage<Start<T>, BoxStep<T, T>>>);

impl<T: Send + 'static> Pipeline<Stages<T>> {
    /// A pipeline of stages that are read from somewhere, such as a file: each with its name, its step and
    /// its limit. What one stage gives is what the next one takes, so all of them share one type.
    ///
    /// ```
    /// use llmspell::{Context, Limit, Pipeline, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let stages = ["clean", "count", "store"].map(|name| {
    ///     let work = step(move |record: String, _| async move { Ok(format!("{record}.{name}")) });
    ///     (name, work.boxed(), Limit::new(4))
    /// });
    /// let flow = Pipeline::of_stages("index", stages);
    /// assert_eq!(flow.run("page".into(), &Context::new()).await?, "page.clean.count.store");
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn of_stages<N: Into<Arc<str>>>(
        name: impl Into<Arc<str>>,
        stages: impl IntoIterator<Item = (N, BoxStep<T, T>, Limit)>,
    ) -> Self {
        let stage = |(place, (name, step, limit)): (usize, (N, BoxStep<T, T>, Limit))| Stage {
            before: Start(PhantomData),
            place,
            label: Label::new(name.into()),
            step,
            limit,
        };
        let stages = Stages(stages.into_iter().enumerate().map(stage).collect());
        Pipeline { label: Label::new(name.into()), stages }
    }
}

impl<T: Send + 'static> Chain for Stages<T> {
    type In = T;
    type Out = T;

    async fn pass(&self, mut record: T, cx: &Context, outer: &Label) -> Result<T> {
        for stage in &self.0 {
            record = stage.pass(record, cx, outer).await?;
        }
        Ok(record)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn info(&self) -> StepInfo<'_> {
        let mut in_flight = 0_usize;
        let stages = self.0.iter().map(Chain::info);
        let together =
            StepInfo::all(stages.inspect(|stage| in_flight = in_flight.saturating_add(stage.default_in_flight)));
        together.in_flight(in_flight)
    }
}

impl<C: Staged> Step for Pipeline<C> {
    type In = C::In;
    type Out = C::Out;

    async fn run(&self, record: C::In, cx: &Context) -> Result<C::Out> {
        if cx.recorder().is_none() {
            return self.stages.pass(record, cx, &self.label).await;
        }
        let cx = cx.named(&self.label);
        call(&cx, self.stages.pass(record, &cx, &self.label)).await
    }

    /// In flight: the sum of the limits, one more for each stage; 16 for a stage without one.
    fn info(&self) -> StepInfo<'_> {
        self.stages.info().named(self.label.name())
    }
}
