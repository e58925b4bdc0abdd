//! Stages in sequence, each with its own limit; records overlap across them.
//!
//! *Waits for* every stage of every record.
//! *Cancels* the remaining stages of a record that is stopped.
//! *Bounds* the calls in each stage ([`Pipeline::limit`]) and, when streamed, the records in flight
//! ([`Streaming::limit`](crate::pattern::stream::Streaming::limit)). There are no other queues between stages: a record that
//! waits for a stage is one of those in flight.
//! *Fails with* the error of the stage, per record; its path names the stage.
//!
//! One record passes through its stages one after another. Overlap comes from [streaming] many records: while
//! one is in the second stage, another is in the first. Waiting records enter a stage in order of arrival. A
//! permit is released before the next stage begins.
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

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::time::Instant;

use crate::context::node::NodeKind;
use crate::context::{AcquiredPermit, Context, Label};
use crate::control::limit::Limit;
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::runtime::timing::yield_if_due;
use crate::step::{BoxStep, Step, StepInfo, call};

/// Returns a pipeline without stages; add some with [`Pipeline::stage`].
///
/// The name appears in paths and in the report.
pub fn pipeline<In: Send + 'static>(name: impl Into<Arc<str>>) -> Pipeline<Start<In>> {
    Pipeline { label: Label::new(name.into()), stages: Start(PhantomData) }
}

/// Stages in sequence; made by [`pipeline`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Pipeline<C> {
    label: Label,
    stages: C,
}

/// A pipeline without stages.
pub struct Start<In>(PhantomData<fn(In)>);

impl<In> fmt::Debug for Start<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}

impl<In> Clone for Start<In> {
    fn clone(&self) -> Self {
        Start(PhantomData)
    }
}

/// The last stage of a pipeline, and all stages before it.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Stage<C, S> {
    before: C,
    index: usize,
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

        /// Runs a record through the stages.
        ///
        /// With a recorder, `cx` is the context of the pipeline. Without one it is the context around the
        /// pipeline, because then the name of the pipeline (`outer`) has no node.
        fn run_stages(
            &self,
            record: Self::In,
            cx: &Context,
            outer: &Label,
        ) -> impl Future<Output = Result<Self::Out>> + Send;

        /// Returns the number of stages.
        fn len(&self) -> usize;

        /// Returns the properties of all stages together. Its number in flight keeps all stages busy.
        fn info(&self) -> StepInfo<'_>;
    }

    /// A chain that can run: one with at least one stage, or with a number of stages known only at run time.
    pub trait Staged: Chain {}
}
use sealed::{Chain, Staged};

impl<In: Send + 'static> Chain for Start<In> {
    type In = In;
    type Out = In;

    async fn run_stages(&self, record: In, _: &Context, _: &Label) -> Result<In> {
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

/// The share of an unlimited stage in the default number of records in flight.
const UNLIMITED_STAGE: usize = 16;

impl<C: Chain, S: Step<In = C::Out>> Chain for Stage<C, S> {
    type In = C::In;
    type Out = S::Out;

    async fn run_stages(&self, record: C::In, cx: &Context, outer: &Label) -> Result<S::Out> {
        let record = self.before.run_stages(record, cx, outer).await?;
        let arrived = cx.times_stages().then(Instant::now);
        if cx.recorder().is_some() {
            let below = cx.named(&self.label);
            let result = call(&below, self.run_recorded(record, &below)).await;
            if let Some(arrived) = arrived {
                cx.record_provenance(|collected| collected.add_stage_time(below.path(), arrived.elapsed()));
            }
            return result;
        }
        // Without a recorder, one node can hold both names and the permit.
        let path = || cx.path_below(outer, &self.label);
        let result = match self.limit.semaphore() {
            None => self.step.run(record, &cx.child_at(NodeKind::Name, path())).await,
            Some(permits) => {
                yield_if_due().await;
                let permit = match AcquiredPermit::try_acquire(permits) {
                    Some(permit) => Ok(permit),
                    None => Limit::wait(permits, cx, None).await,
                };
                match permit {
                    Ok(permit) => {
                        let cx = cx.under_permit(permit, Some(path()));
                        match self.limit.adaptive_limit() {
                            None => self.step.run(record, &cx).await,
                            Some(adapting) => adapting.run(&self.step, record, &cx).await,
                        }
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if let Some(arrived) = arrived {
            cx.record_provenance(|collected| collected.add_stage_time(path(), arrived.elapsed()));
        }
        result.map_err(|error| error.at(path))
    }

    fn len(&self) -> usize {
        self.index + 1
    }

    fn info(&self) -> StepInfo<'_> {
        // One more than the limit: one record waits for a permit, so that the stage never runs dry.
        let step = self.step.info();
        let calls = step.limited_if(self.limit.max_permits()).limit;
        let here = calls.map_or(UNLIMITED_STAGE, |calls| calls.saturating_add(1));
        let before = self.before.info();
        before.and(step).in_flight(before.default_in_flight.saturating_add(here))
    }
}

impl<C: Chain, S: Step<In = C::Out>> Stage<C, S> {
    /// Returns the number of records that the stage can run now: the smaller of its own limit and that of its
    /// step.
    fn calls(&self) -> Option<usize> {
        self.step.info().limited_if(self.limit.permits()).limit
    }

    /// Runs the stage with a recorder.
    async fn run_recorded(&self, record: C::Out, cx: &Context) -> Result<S::Out> {
        let arrived = Instant::now();
        let admitted = self.limit.admit(cx).await?;
        // Without a limit there was no wait, and a read of the clock costs as much as the rest of an event.
        let started = if admitted.is_some() { Instant::now() } else { arrived };
        let result = match &admitted {
            Some(cx) => match self.limit.adaptive_limit() {
                None => self.step.run(record, cx).await,
                Some(adapting) => adapting.run(&self.step, record, cx).await,
            },
            None => self.step.run(record, cx).await,
        };
        let left = Instant::now();
        cx.record_event_at(left, || EventKind::PipelineStage {
            stage: self.index,
            name: self.label.name().to_owned(),
            limit: self.calls(),
            waited: started - arrived,
            took: left - started,
        });
        result
    }
}

impl<C: Chain> Pipeline<C> {
    /// Adds a stage at the end.
    ///
    /// The name appears in paths. A step with its own name, such as a tool, has a row of its own below it in
    /// the report.
    pub fn stage<S>(self, name: impl Into<Arc<str>>, step: S) -> Pipeline<Stage<C, S>>
    where
        S: Step<In = C::Out>,
    {
        let index = self.stages.len();
        let stages =
            Stage { before: self.stages, index, label: Label::new(name.into()), step, limit: Limit::unlimited() };
        Pipeline { label: self.label, stages }
    }
}

impl<C, S> Pipeline<Stage<C, S>> {
    /// Caps the records in the stage added last; a [`Limit`] can be shared.
    ///
    /// By default a stage has no limit of its own; the [limit](Step::limit) of its step still applies. To limit
    /// the records in the whole pipeline, limit its stream, or use [`Step::limit`] on it:
    /// `Step::limit(pipeline, n)`.
    ///
    /// # Panics
    /// If the limit is 0.
    pub fn limit(mut self, limit: impl Into<Limit>) -> Self {
        self.stages.limit = limit.into();
        self
    }
}

/// A number of stages known only at run time, all over one type; see [`Pipeline::of_stages`].
#[derive(Debug)]
pub struct Stages<T>(Vec<Stage<Start<T>, BoxStep<T, T>>>);

impl<T: Send + 'static> Pipeline<Stages<T>> {
    /// Returns a pipeline of stages that are known only at run time, each with its name, step and limit.
    ///
    /// The output of one stage is the input of the next, so all stages share one type.
    ///
    /// ```
    /// use llmspell::{Context, Limit, Step, step};
    /// use llmspell::pattern::pipeline::Pipeline;
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
        let stage = |(index, (name, step, limit)): (usize, (N, BoxStep<T, T>, Limit))| Stage {
            before: Start(PhantomData),
            index,
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

    async fn run_stages(&self, mut record: T, cx: &Context, outer: &Label) -> Result<T> {
        for stage in &self.0 {
            record = stage.run_stages(record, cx, outer).await?;
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
            return self.stages.run_stages(record, cx, &self.label).await;
        }
        let cx = cx.named(&self.label);
        call(&cx, self.stages.run_stages(record, &cx, &self.label)).await
    }

    /// The number in flight is the sum of the limits plus one for each stage, and 16 for a stage without a
    /// limit.
    fn info(&self) -> StepInfo<'_> {
        self.stages.info().named(self.label.name())
    }
}
