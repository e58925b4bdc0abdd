//! Groups of any number of steps of one type.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Group, JoinOptions, Sealed, group_error, stopped};
use crate::context::{CallerGuard, Context, WorkGuard};
use crate::error::{Error, Result};
use crate::observe::outcome::Outcome;
use crate::runtime::executor::{PoolTask, WorkerPool};
use crate::step::{Step, StepInfo};

impl<S: Step<In: Clone>> Sealed for Vec<S> {}

impl<S: Step<In: Clone>> Group for Vec<S> {
    type In = S::In;
    type Outs = Vec<S::Out>;
    type Outcomes = Vec<Outcome<S::Out>>;

    async fn join(self: &Arc<Self>, input: S::In, cx: &Context, options: JoinOptions) -> Result<Vec<S::Out>> {
        let mut outs = Vec::with_capacity(self.len());
        let mut failures = Vec::new();
        for outcome in run_members(self, input, cx, options, false).await {
            match outcome.map(|outcome| outcome.result) {
                Some(Ok(out)) => outs.push(out),
                Some(Err(error)) => failures.push(error),
                None => {}
            }
        }
        if failures.is_empty() { Ok(outs) } else { Err(group_error(failures, self.len())) }
    }

    fn info(&self) -> StepInfo<'_> {
        StepInfo::all(self.iter().map(Step::info))
    }

    async fn settle(self: &Arc<Self>, input: S::In, cx: &Context, options: JoinOptions) -> Vec<Outcome<S::Out>> {
        let outcomes = run_members(self, input, cx, options, true).await.into_iter().enumerate();
        outcomes.map(|(index, outcome)| outcome.unwrap_or_else(|| Outcome::plain(index, Err(stopped())))).collect()
    }
}

/// The work of the worker pool: one job for each member of the group.
struct Members<S> {
    steps: Arc<Vec<S>>,
    cx: Context,
    /// Whether each member collects provenance in its own scope.
    scoped: bool,
}

impl<S: Step> PoolTask for Members<S> {
    type Input = S::In;
    type Out = Outcome<S::Out>;
    type CallerGuard = CallerGuard;
    type WorkGuard = WorkGuard;

    async fn run(&self, index: usize, input: S::In) -> Outcome<S::Out> {
        let step = &self.steps[index];
        if self.scoped {
            let cx = self.cx.scope(None);
            let result = step.run(input, &cx).await;
            cx.outcome(index, result)
        } else {
            Outcome::plain(index, step.run(input, &self.cx).await)
        }
    }

    fn lost(&self, index: usize, error: Error) -> Outcome<S::Out> {
        Outcome::plain(index, Err(error.at(|| self.cx.path())))
    }
}

/// Returns the outcomes in the order of the members; `None` for members that were stopped or never started.
async fn run_members<S: Step<In: Clone>>(
    steps: &Arc<Vec<S>>,
    input: S::In,
    cx: &Context,
    options: JoinOptions,
    scoped: bool,
) -> Vec<Option<Outcome<S::Out>>> {
    let total = steps.len();
    let mut outcomes: Vec<Option<Outcome<S::Out>>> = std::iter::repeat_with(|| None).take(total).collect();
    let mut pool = WorkerPool::new(cx.pool_guards(), Members { steps: steps.clone(), cx: cx.clone(), scoped });
    let mut jobs: VecDeque<_> = (0..total.min(options.limit)).map(|index| (index, input.clone())).collect();
    let mut started = jobs.len();
    pool.submit(&mut jobs);
    for _ in 0..total {
        let outcome = pool.next().await;
        let failed = !outcome.is_ok();
        let index = outcome.index;
        outcomes[index] = Some(outcome);
        if failed && options.fail_fast {
            pool.stop().await;
            break;
        }
        if started < total {
            jobs.push_back((started, input.clone()));
            started += 1;
            pool.submit(&mut jobs);
        }
    }
    outcomes
}
