//! Folds events into what a report needs, as they come.
//!
//! Memory depends on the number of different paths and of calls in progress, not of calls.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::histogram::Histogram;
use super::spread::Spread;
use super::stages::Stages;
use super::{CriticalStep, PipelineReport, Report, StepReport};
use crate::error::ErrorKind;
use crate::observe::event::{Event, EventError, EventKind, WaitKind};
use crate::observe::outcome::Quality;
use crate::observe::usage::Usage;
use crate::path::Path;

#[derive(Default)]
pub(crate) struct Tally {
    steps: Vec<StepTally>,
    by_path: HashMap<Path, usize>,
    live: HashMap<u64, Live, BuildHasherDefault<Spread>>,
    /// What runs outside of every named step; it never ends.
    root: Live,
    usage: Usage,
    first: Option<Duration>,
    last: Duration,
}

/// All calls of one path.
struct StepTally {
    path: Path,
    calls: u64,
    ok: u64,
    failed: u64,
    cancelled: u64,
    degraded: u64,
    retries: u64,
    runaways: u64,
    runaways_ended: u64,
    refused: u64,
    overloaded: u64,
    timed_out: u64,
    timeout: Option<Duration>,
    hedged: u64,
    hedges_won: u64,
    times: Histogram,
    busy: Duration,
    wasted: Duration,
    waited: Duration,
    /// The part of `waited` that was spent between attempts.
    backed_off: Duration,
    usage: Usage,
    /// The chain of events that led to the last end of a call.
    chain: Chain,
    /// Only if the step is a pipeline.
    stages: Option<Stages>,
}

/// A call in progress.
#[derive(Default)]
struct Live {
    /// `None` for the root alone.
    step: Option<usize>,
    started: Duration,
    /// Calls in progress inside of this one, and since when there has been one.
    children: u32,
    covered_since: Duration,
    /// How long there was at least one call inside of this one.
    covered: Duration,
    waited: Duration,
    /// Since when it is in line, and the step that it is in line for.
    queued: Option<(usize, Duration)>,
    /// Since when it waits for another attempt, and how long it means to.
    backoff: Option<(Duration, Duration)>,
    /// Whether failures have been told attempt by attempt.
    tells_attempts: bool,
    /// Whether there was a call inside of this one.
    has_called: bool,
    /// Whether a second copy is under way.
    has_second: bool,
    /// What led to where this call is now.
    chain: Chain,
    /// Up to when `chain` tells.
    told: Duration,
    /// The time in each stage, if the call is a record in a pipeline.
    stages: Vec<Duration>,
}

/// The time spent in each step along a chain of events in which each waited for the one before, by step.
#[derive(Clone, Default)]
struct Chain(Vec<(usize, u64, Duration)>);

impl Chain {
    fn extend(&mut self, step: usize, calls: u64, time: Duration) {
        match self.0.iter_mut().find(|link| link.0 == step) {
            Some(link) => {
                link.1 += calls;
                link.2 += time;
            }
            None => self.0.push((step, calls, time)),
        }
    }
}

impl Live {
    /// The chain up to `at`, with what this call has done itself since its last part.
    fn chain_until(&self, at: Duration, calls: u64) -> Chain {
        let mut chain = self.chain.clone();
        if let Some(step) = self.step {
            chain.extend(step, calls, at.saturating_sub(self.told));
        }
        chain
    }
}

enum End {
    Finished(Quality),
    Failed,
    Cancelled,
}

/// Two ends closer to each other than a tick of the clock are one moment: the losers of a race are
/// cancelled by the end of the winner, and not the other way round.
const TICK: Duration = Duration::from_millis(1);

impl Tally {
    pub(crate) fn add(&mut self, event: &Event) {
        let at = event.at;
        self.first.get_or_insert(at);
        self.last = at;
        match &event.fact {
            EventKind::Started => self.start(event),
            EventKind::Finished { took, quality } => self.end(event, *took, &End::Finished(*quality)),
            EventKind::Failed { took, error } => {
                let live = self.live_mut(event.call);
                // What a step inside has told already is not told again by those around it.
                if !live.tells_attempts && !live.has_called {
                    self.attempt_failed(event, error);
                }
                self.end(event, *took, &End::Failed);
            }
            EventKind::Cancelled { took } => self.end(event, *took, &End::Cancelled),
            EventKind::Admitted { step, queue, waited } => self.admit(event.call, step.as_ref(), at, *waited, *queue),
            EventKind::Queued { step, .. } => self.queue(event.call, step.as_ref(), at),
            EventKind::Retrying { delay, .. } => self.retry(event.call, at, *delay),
            EventKind::AttemptFailed { error, .. } => {
                self.settle_backoff(event.call, at);
                self.live_mut(event.call).tells_attempts = true;
                self.attempt_failed(event, error);
            }
            EventKind::TimedOut { after } => {
                if let Some(step) = self.step_of(event) {
                    let tally = &mut self.steps[step];
                    tally.timed_out += 1;
                    tally.timeout = Some(tally.timeout.map_or(*after, |timeout| timeout.min(*after)));
                }
            }
            EventKind::Hedged { .. } | EventKind::Straggler { .. } => {
                self.live_mut(event.call).has_second = true;
                if let Some(step) = self.step_of(event) {
                    self.steps[step].hedged += 1;
                }
            }
            EventKind::RaceWon { contender, .. } => {
                let was_seconded = std::mem::take(&mut self.live_mut(event.call).has_second);
                if was_seconded
                    && *contender == 1
                    && let Some(step) = self.step_of(event)
                {
                    self.steps[step].hedges_won += 1;
                }
            }
            EventKind::PipelineStage { stage, name, limit, waited, took } => {
                self.settle_backoff(event.call, at);
                // Waiting inside of the stage, for another attempt or under a limit there, is no work of it.
                let total = *waited + *took;
                let waited = self.live_mut(event.call).waited.clamp(*waited, total);
                let took = total - waited;
                self.live_mut(event.parent).stages.push(took);
                if let Some(pipeline) = self.live_mut(event.parent).step {
                    let stages = self.steps[pipeline].stages.get_or_insert_default();
                    stages.pass(*stage, name, *limit, waited, took);
                }
            }
            EventKind::Refused { step, .. } => self.refuse(event.call, step.as_ref(), at),
            EventKind::Runaway | EventKind::RunawayEnded { .. } => {
                if let Some(step) = self.step_of(event) {
                    let tally = &mut self.steps[step];
                    match &event.fact {
                        EventKind::Runaway => tally.runaways += 1,
                        _ => tally.runaways_ended += 1,
                    }
                }
            }
            EventKind::Used(usage) => {
                self.usage += *usage;
                if let Some(step) = self.step_of(event) {
                    self.steps[step].usage += *usage;
                }
            }
            _ => {}
        }
    }

    fn live_mut(&mut self, call: u64) -> &mut Live {
        self.live.get_mut(&call).unwrap_or(&mut self.root)
    }

    fn attempt_failed(&mut self, event: &Event, error: &EventError) {
        if error.kind == ErrorKind::Overloaded
            && let Some(step) = self.step_of(event)
        {
            self.steps[step].overloaded += 1;
        }
    }

    /// The step that an event is about, also if the call has ended.
    fn step_of(&mut self, event: &Event) -> Option<usize> {
        self.live_mut(event.call).step.or(self.by_path.get(&event.path).copied())
    }

    fn step(&mut self, path: &Path) -> usize {
        if let Some(step) = self.by_path.get(path) {
            return *step;
        }
        self.steps.push(StepTally::new(path.clone()));
        self.by_path.insert(path.clone(), self.steps.len() - 1);
        self.steps.len() - 1
    }

    fn start(&mut self, event: &Event) {
        let at = event.at;
        self.settle_backoff(event.parent, at);
        let step = self.step(&event.path);
        self.steps[step].calls += 1;
        let parent = self.live_mut(event.parent);
        if parent.children == 0 {
            parent.covered_since = at;
        }
        parent.children += 1;
        parent.has_called = true;
        let chain = parent.chain_until(at, 0);
        self.live.insert(event.call, Live { step: Some(step), started: at, chain, told: at, ..Live::default() });
    }

    fn end(&mut self, event: &Event, took: Duration, end: &End) {
        let at = event.at;
        self.settle_backoff(event.call, at);
        let Some(mut live) = self.live.remove(&event.call) else { return };
        let Some(step) = live.step else { return };
        if let Some((step, since)) = live.queued {
            live.waited += at.saturating_sub(since);
            self.steps[step].waited += at.saturating_sub(since);
        }
        if live.children > 0 {
            // Calls inside of it are still on their way out.
            live.covered += at.saturating_sub(live.covered_since);
        }
        let chain = live.chain_until(at, 1);
        let busy = took.saturating_sub(live.covered).saturating_sub(live.waited);

        let tally = &mut self.steps[step];
        match end {
            End::Cancelled => {
                tally.cancelled += 1;
                tally.wasted += busy;
            }
            End::Finished(quality) => {
                tally.ok += 1;
                tally.degraded += u64::from(*quality != Quality::Full);
            }
            End::Failed => tally.failed += 1,
        }
        match end {
            End::Cancelled => {}
            End::Finished(_) | End::Failed => {
                tally.times.record(took);
                tally.busy += busy;
            }
        }
        if let Some(stages) = &mut tally.stages {
            stages.end_record(&live.stages, live.started, at);
        }
        tally.chain = chain.clone();

        let parent = self.live_mut(event.parent);
        parent.children = parent.children.saturating_sub(1);
        if parent.children == 0 {
            parent.covered += at.saturating_sub(parent.covered_since);
        }
        if !matches!(end, End::Cancelled) || at > parent.told + TICK {
            parent.chain = chain;
            parent.told = at;
        }
    }

    /// A call has waited long enough. If it was for a permit, it waited for whoever gave it back; if the limit
    /// is that of the step alone, that was the call of the same step that ended last.
    fn admit(&mut self, call: u64, step: Option<&Path>, at: Duration, waited: Duration, queue: WaitKind) {
        let Some(step) = step.map(|path| self.step(path)).or(self.live_mut(call).step) else { return };
        self.live_mut(call).queued = None;
        self.steps[step].waited += waited;
        let chain = self.steps[step].chain.clone();
        let live = self.live_mut(call);
        live.waited += waited;
        if queue == WaitKind::Limit && !chain.0.is_empty() && live.step.is_some() {
            live.chain = chain;
            live.told = at;
        }
    }

    /// A call gets in line. If several branches of it do, each says so when it has its permit; only the last
    /// is known if the call ends before that.
    fn queue(&mut self, call: u64, step: Option<&Path>, at: Duration) {
        let step = step.map(|path| self.step(path)).or(self.live_mut(call).step);
        if let Some(live) = self.live.get_mut(&call) {
            live.queued = step.map(|step| (step, at));
        }
    }

    /// A call is refused admission; if it stood in line for that, its wait is over.
    fn refuse(&mut self, call: u64, step: Option<&Path>, at: Duration) {
        if let Some(live) = self.live.get_mut(&call)
            && let Some((step, since)) = live.queued.take()
        {
            let waited = at.saturating_sub(since);
            live.waited += waited;
            self.steps[step].waited += waited;
        }
        if let Some(step) = step.map(|path| self.step(path)).or(self.live_mut(call).step) {
            self.steps[step].refused += 1;
        }
    }

    fn retry(&mut self, call: u64, at: Duration, delay: Duration) {
        let live = self.live_mut(call);
        if let Some(step) = live.step {
            live.backoff = Some((at, delay));
            self.steps[step].retries += 1;
        }
    }

    /// The wait for another attempt is over, or the call that waits is.
    fn settle_backoff(&mut self, call: u64, at: Duration) {
        let live = self.live_mut(call);
        if let (Some((since, planned)), Some(step)) = (live.backoff.take(), live.step) {
            let waited = at.saturating_sub(since).min(planned);
            live.waited += waited;
            self.steps[step].waited += waited;
            self.steps[step].backed_off += waited;
        }
    }

    pub(crate) fn report(&self) -> Report {
        let wall = self.last - self.first.unwrap_or_default();
        let critical_path: Vec<CriticalStep> = self
            .root
            .chain
            .0
            .iter()
            .filter(|(_, _, time)| !time.is_zero())
            .map(|(step, calls, time)| CriticalStep {
                path: self.steps[*step].path.clone(),
                calls: *calls,
                time: *time,
            })
            .collect();
        let bottleneck = critical_path.iter().max_by_key(|step| step.time).map(|step| step.path.clone());
        let sequential: Duration = self.steps.iter().map(|step| step.busy + step.backed_off).sum();
        Report {
            wall,
            sequential,
            speedup: if wall.is_zero() { 1.0 } else { sequential.as_secs_f64() / wall.as_secs_f64() },
            steps: self.steps.iter().map(StepTally::report).collect(),
            bottleneck,
            critical_path,
            pipelines: self.steps.iter().filter_map(StepTally::pipeline).collect(),
            in_progress: self.live.len(),
            usage: self.usage,
        }
    }
}

impl StepTally {
    fn new(path: Path) -> Self {
        StepTally {
            path,
            calls: 0,
            ok: 0,
            failed: 0,
            cancelled: 0,
            degraded: 0,
            retries: 0,
            runaways: 0,
            runaways_ended: 0,
            refused: 0,
            overloaded: 0,
            timed_out: 0,
            timeout: None,
            hedged: 0,
            hedges_won: 0,
            times: Histogram::default(),
            busy: Duration::ZERO,
            wasted: Duration::ZERO,
            waited: Duration::ZERO,
            backed_off: Duration::ZERO,
            usage: Usage::default(),
            chain: Chain::default(),
            stages: None,
        }
    }

    fn report(&self) -> StepReport {
        StepReport {
            path: self.path.clone(),
            calls: self.calls,
            ok: self.ok,
            failed: self.failed,
            cancelled: self.cancelled,
            degraded: self.degraded,
            attempts: self.calls + self.retries,
            runaways: self.runaways,
            runaways_alive: self.runaways.saturating_sub(self.runaways_ended),
            refused: self.refused,
            overloaded: self.overloaded,
            timed_out: self.timed_out,
            timeout: self.timeout,
            hedged: self.hedged,
            hedges_won: self.hedges_won,
            p50: self.times.percentile(50.0),
            p95: self.times.percentile(95.0),
            p99: self.times.percentile(99.0),
            busy: self.busy,
            wasted: self.wasted,
            waited: self.waited,
            backed_off: self.backed_off,
            usage: self.usage,
        }
    }

    fn pipeline(&self) -> Option<PipelineReport> {
        self.stages.as_ref().map(|stages| stages.report(self.path.clone()))
    }
}
