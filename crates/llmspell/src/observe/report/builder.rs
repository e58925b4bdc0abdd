//! The builder of a report: adds work, waste, the critical path and pipelines to the [fold](crate::observe::fold).
//!
//! Events must come in the order of time. Memory depends on the number of distinct paths and of calls in progress, not on
//! the number of calls.

use std::time::Duration;

use super::chain::Chain;
use super::stages::PipelineStages;
use super::{CriticalStep, PipelineReport, Report, StepReport};
use crate::observe::event::{Event, EventKind, WaitKind};
use crate::observe::fold::{Fold, LiveCall, StepTotals};
use crate::path::Path;

/// The state that a [`Report`] is made from.
#[derive(Debug, Default)]
pub(crate) struct ReportBuilder {
    fold: Fold<CallTimes>,
    /// By the step numbers of the fold.
    steps: Vec<StepTimes>,
    /// The work outside of every named step; it never ends.
    root: CallTimes,
    first: Option<Duration>,
    last: Duration,
}

/// The figures that the report adds to the counts of a step.
#[derive(Debug, Default)]
struct StepTimes {
    busy: Duration,
    wasted: Duration,
    /// The chain of events that led to the last end of a call.
    chain: Chain,
    /// Only if the step is a pipeline.
    stages: Option<PipelineStages>,
}

/// The state that the report adds to a call.
#[derive(Debug, Default)]
struct CallTimes {
    /// Calls in progress inside of this one, and since when there has been one.
    children: u32,
    covered_since: Duration,
    /// How long there was at least one call inside of this one.
    covered: Duration,
    /// The events that led to where this call is now.
    chain: Chain,
    /// The time up to which `chain` reaches.
    chained_until: Duration,
    /// The time in each stage, if the call is a record in a pipeline.
    stages: Vec<Duration>,
}

impl CallTimes {
    /// Returns the chain up to `at`, with what a call of `step` has done itself since the last part.
    fn chain_until(&self, step: Option<usize>, at: Duration, calls: u64) -> Chain {
        let mut chain = self.chain.clone();
        if let Some(step) = step {
            chain.extend(step, calls, at.saturating_sub(self.chained_until));
        }
        chain
    }
}

/// Two ends closer to each other than a tick of the clock are one moment: the losers of a race are cancelled by the end
/// of the winner, and not the other way round.
const TICK: Duration = Duration::from_millis(1);

impl ReportBuilder {
    pub(crate) fn add(&mut self, event: &Event) {
        self.first.get_or_insert(event.at);
        self.last = event.at;
        let ended = self.fold.add(event);
        self.steps.resize_with(self.fold.steps().len(), StepTimes::default);
        match &event.fact {
            EventKind::Started => self.start(event),
            EventKind::Finished { took, .. } | EventKind::Failed { took, .. } | EventKind::Cancelled { took } => {
                if let Some(call) = ended {
                    self.end(event, *took, call);
                }
            }
            EventKind::Admitted { step, queue: WaitKind::Limit, .. } => self.admit(event, step.as_ref()),
            EventKind::PipelineStage { stage, name, limit, waited, took } => {
                self.pass_stage(event, *stage, name, *limit, *waited, *took);
            }
            _ => {}
        }
    }

    /// The call with this number and the number of its step, or the root.
    fn call_mut(&mut self, number: u64) -> (Option<usize>, &mut CallTimes) {
        match self.fold.call_mut(number) {
            Some(call) => (Some(call.step), &mut call.extra),
            None => (None, &mut self.root),
        }
    }

    fn start(&mut self, event: &Event) {
        let at = event.at;
        let (step, parent) = self.call_mut(event.parent);
        if parent.children == 0 {
            parent.covered_since = at;
        }
        parent.children += 1;
        let chain = parent.chain_until(step, at, 0);
        let (_, call) = self.call_mut(event.call);
        (call.chain, call.chained_until) = (chain, at);
    }

    fn end(&mut self, event: &Event, took: Duration, call: LiveCall<CallTimes>) {
        let at = event.at;
        let LiveCall { step, started, waited, extra: mut times, .. } = call;
        if times.children > 0 {
            // Calls inside of it have not reported their end yet.
            times.covered += at.saturating_sub(times.covered_since);
        }
        let chain = times.chain_until(Some(step), at, 1);
        let busy = took.saturating_sub(times.covered).saturating_sub(waited);
        let is_cancelled = matches!(event.fact, EventKind::Cancelled { .. });

        let totals = &mut self.steps[step];
        if is_cancelled {
            totals.wasted += busy;
        } else {
            totals.busy += busy;
        }
        if let Some(stages) = &mut totals.stages {
            stages.end_record(&times.stages, started, at);
        }
        totals.chain = chain.clone();

        let (_, parent) = self.call_mut(event.parent);
        parent.children = parent.children.saturating_sub(1);
        if parent.children == 0 {
            parent.covered += at.saturating_sub(parent.covered_since);
        }
        if !is_cancelled || at > parent.chained_until + TICK {
            (parent.chain, parent.chained_until) = (chain, at);
        }
    }

    /// A call has its permit, so it waited for the call that gave the permit back. If the limit is that of the step
    /// alone, that was the call of the same step that ended last.
    fn admit(&mut self, event: &Event, step: Option<&Path>) {
        let Some(step) = self.fold.awaited(event, step) else { return };
        let chain = self.steps[step].chain.clone();
        if !chain.is_empty()
            && let (Some(_), call) = self.call_mut(event.call)
        {
            (call.chain, call.chained_until) = (chain, event.at);
        }
    }

    fn pass_stage(
        &mut self,
        event: &Event,
        stage: usize,
        name: &str,
        limit: Option<usize>,
        waited: Duration,
        took: Duration,
    ) {
        // Waiting inside of the stage, for another attempt or under a limit there, does not count as its work.
        let total = waited + took;
        let inside = self.fold.call_mut(event.call).map_or(Duration::ZERO, |call| call.waited);
        let waited = inside.clamp(waited, total);
        let took = total - waited;
        let (pipeline, record) = self.call_mut(event.parent);
        record.stages.push(took);
        if let Some(pipeline) = pipeline {
            let stages = self.steps[pipeline].stages.get_or_insert_default();
            stages.pass(stage, name, limit, waited, took);
        }
    }

    /// The steps with their counts.
    fn steps(&self) -> impl Iterator<Item = (&StepTotals, &StepTimes)> {
        self.fold.steps().iter().zip(&self.steps)
    }

    pub(crate) fn report(&self) -> Report {
        let wall = self.last - self.first.unwrap_or_default();
        let critical_path = self.critical_path();
        let bottleneck = critical_path.iter().max_by_key(|step| step.time).map(|step| step.path.clone());
        let sequential: Duration = self.steps().map(|(totals, times)| times.busy + totals.backed_off).sum();
        Report {
            wall,
            sequential,
            speedup: if wall.is_zero() { 1.0 } else { sequential.as_secs_f64() / wall.as_secs_f64() },
            steps: self.steps().map(|(totals, times)| step_report(totals, times)).collect(),
            bottleneck,
            critical_path,
            pipelines: self.steps().filter_map(|(totals, times)| pipeline_report(totals, times)).collect(),
            in_progress: self.fold.calls().len(),
            usage: self.fold.totals().usage,
        }
    }

    fn critical_path(&self) -> Vec<CriticalStep> {
        let links = self.root.chain.links().filter(|link| !link.time.is_zero());
        links
            .map(|link| CriticalStep {
                path: self.fold.steps()[link.step].path.clone(),
                calls: link.calls,
                time: link.time,
            })
            .collect()
    }
}

fn step_report(totals: &StepTotals, times: &StepTimes) -> StepReport {
    StepReport {
        path: totals.path.clone(),
        calls: totals.calls,
        ok: totals.ok,
        failed: totals.failed,
        cancelled: totals.cancelled,
        degraded: totals.degraded,
        attempts: totals.calls + totals.retries,
        runaways: totals.runaways,
        runaways_alive: totals.runaways.saturating_sub(totals.runaways_ended),
        refused: totals.refused,
        overloaded: totals.overloaded,
        timed_out: totals.timed_out,
        timeout: totals.shortest_timeout,
        hedged: totals.hedged,
        hedges_won: totals.hedges_won,
        p50: totals.times.percentile(50.0),
        p95: totals.times.percentile(95.0),
        p99: totals.times.percentile(99.0),
        busy: times.busy,
        wasted: times.wasted,
        waited: totals.waited,
        backed_off: totals.backed_off,
        usage: totals.usage,
    }
}

fn pipeline_report(totals: &StepTotals, times: &StepTimes) -> Option<PipelineReport> {
    times.stages.as_ref().map(|stages| stages.report(totals.path.clone()))
}
