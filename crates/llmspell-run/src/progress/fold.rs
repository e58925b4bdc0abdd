//! Folds the events of a run into what goes on in each step.
//!
//! Events come from every thread, many for each record: what is known of a call lies in the shard of its number, so two
//! threads seldom meet, and an event costs one uncontended lock and a look into a small map. What is live is only counted
//! when somebody looks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use llmspell::{ErrorKind, Event, EventKind, Path, Usage, WaitKind};
use tokio::time::Instant;

use super::snapshot::{InStep, Snapshot, StepNow, Waiting};
use super::times::Times;

/// As many locks; a power of two.
const SHARDS: usize = 16;

/// How many records are told of one by one.
const OLDEST: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Fold {
    shards: [Shard; SHARDS],
    steps: Mutex<Steps>,
    /// The moment that events count their time from.
    origin: OnceLock<Instant>,
}

/// Alone on its cache lines, so that threads do not slow each other down by being neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Part>);

#[derive(Debug, Default)]
struct Part {
    live: HashMap<u64, Live, BuildHasherDefault<Spread>>,
    /// Paths that were seen here, by their address: equal paths nearly always lie in the same place. Each is kept, so no
    /// other path can come to lie there.
    known: Vec<(Path, usize)>,
    steps: Vec<Tally>,
    refused: u64,
    overloaded: u64,
    hedges: u64,
    runaways: i64,
    usage: Usage,
}

/// More addresses than this are not remembered: then paths are made anew for each call.
const KNOWN: usize = 64;

/// What is counted of a step.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// Its limit, and when that was told.
    limit: (Duration, Option<usize>),
    done: u64,
    failed: u64,
    cancelled: u64,
    retries: u64,
    times: Times,
}

/// A call in progress.
#[derive(Clone, Copy, Debug)]
struct Live {
    parent: u64,
    step: usize,
    item: Option<usize>,
    started: Duration,
    /// From 1.
    attempt: u32,
    /// When the next attempt begins, if one does.
    next: Duration,
    /// In how many lines it stands, and in which one since when.
    lines: u32,
    line: (WaitKind, Duration),
}

impl Live {
    fn waiting(&self, now: Duration) -> Option<Waiting> {
        if self.lines > 0 {
            let (queue, since) = self.line;
            Some(Waiting::InLine { queue, time: now.saturating_sub(since) })
        } else if self.next > now {
            Some(Waiting::Attempt { after: self.next - now })
        } else {
            None
        }
    }
}

/// The paths of all steps: by number, and in the order of the flow.
#[derive(Debug, Default)]
struct Steps {
    paths: Vec<Path>,
    numbers: HashMap<Path, usize>,
    /// Each step behind those within the one around it, and those in the order of their first calls.
    order: Vec<usize>,
}

impl Steps {
    fn number(&mut self, path: &Path) -> usize {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = self.paths.len();
        let around = path.as_str().rfind('.').map_or("", |dot| &path.as_str()[..dot]);
        let around = Path::from(around);
        let place = match self.order.iter().rposition(|other| self.paths[*other].is_within(&around)) {
            Some(last) => last + 1,
            None => self.order.len(),
        };
        self.order.insert(place, number);
        self.paths.push(path.clone());
        self.numbers.insert(path.clone(), number);
        number
    }
}

impl Fold {
    pub(super) fn add(&self, event: &Event) {
        let part = &mut *locked(&self.shards[event.call as usize % SHARDS].0);
        match &event.fact {
            EventKind::Started => {
                self.origin.get_or_init(|| Instant::now() - event.at);
                let step = self.step(part, &event.path);
                let live = Live {
                    parent: event.parent,
                    step,
                    item: event.item,
                    started: event.at,
                    attempt: 1,
                    next: Duration::ZERO,
                    lines: 0,
                    line: (WaitKind::Limit, Duration::ZERO),
                };
                part.live.insert(event.call, live);
            }
            EventKind::Finished { took, .. } => part.end(event.call, Some(*took), |tally| tally.done += 1),
            EventKind::Failed { took, error, .. } => {
                // One that is retried has told of each attempt.
                let told = part.live.get(&event.call).is_none_or(|live| live.attempt > 1 || live.next > Duration::ZERO);
                if error.kind == ErrorKind::Overloaded && !told && !self.has_steps_within(&event.path) {
                    part.overloaded += 1;
                }
                part.end(event.call, Some(*took), |tally| tally.failed += 1);
            }
            EventKind::Cancelled { .. } => part.end(event.call, None, |tally| tally.cancelled += 1),
            EventKind::Queued { queue, .. } => {
                if let Some(live) = part.live.get_mut(&event.call) {
                    live.lines += 1;
                    live.line = (*queue, event.at);
                }
            }
            EventKind::Admitted { .. } => part.leave_line(event.call),
            EventKind::Refused { .. } => {
                part.refused += 1;
                part.leave_line(event.call);
            }
            EventKind::AttemptFailed { error, .. } => {
                part.overloaded += u64::from(error.kind == ErrorKind::Overloaded);
                if let Some(live) = part.live.get_mut(&event.call) {
                    // The failure has been told, also if no attempt follows.
                    live.next = live.next.max(event.at).max(Duration::from_nanos(1));
                }
            }
            EventKind::Retrying { attempt, delay, .. } => {
                if let Some(live) = part.live.get_mut(&event.call) {
                    live.attempt = *attempt;
                    live.next = event.at + *delay;
                    let step = live.step;
                    part.tally(step).retries += 1;
                }
            }
            EventKind::PipelineStage { limit, .. } => part.limit(event.call, event.at, *limit),
            EventKind::LimitChanged { to, .. } => part.limit(event.call, event.at, Some(*to)),
            EventKind::Hedged { .. } | EventKind::Straggler { .. } => part.hedges += 1,
            EventKind::Runaway => part.runaways += 1,
            EventKind::RunawayEnded { .. } => part.runaways -= 1,
            EventKind::Used(usage) => part.usage += *usage,
            _ => {}
        }
    }

    /// The number of a step.
    fn step(&self, part: &mut Part, path: &Path) -> usize {
        let address = path.as_str().as_ptr();
        if let Some((_, number)) = part.known.iter().find(|(known, _)| known.as_str().as_ptr() == address) {
            return *number;
        }
        let number = locked(&self.steps).number(path);
        if part.known.len() < KNOWN {
            part.known.push((path.clone(), number));
        }
        number
    }

    /// Whether calls of the step make calls of others, which fail first.
    fn has_steps_within(&self, path: &Path) -> bool {
        locked(&self.steps).paths.iter().any(|other| other != path && other.is_within(path))
    }

    /// Adds what goes on in the steps.
    pub(super) fn tell(&self, snapshot: &mut Snapshot) {
        let Some(now) = self.origin.get().map(Instant::elapsed) else { return };
        let (paths, order) = {
            let steps = locked(&self.steps);
            (steps.paths.clone(), steps.order.clone())
        };
        let mut steps = vec![StepNow::default(); paths.len()];
        let mut times = vec![Times::default(); paths.len()];
        let mut limits = vec![(Duration::ZERO, None); paths.len()];
        let mut live = Vec::new();
        let mut runaways = 0;
        for shard in &self.shards {
            let part = locked(&shard.0);
            snapshot.refused += part.refused;
            snapshot.overloaded += part.overloaded;
            snapshot.hedges += part.hedges;
            snapshot.usage += part.usage;
            runaways += part.runaways;
            // A step may have come up after the paths were read.
            for (number, tally) in part.steps.iter().enumerate().take(paths.len()) {
                let step = &mut steps[number];
                step.done += tally.done;
                step.failed += tally.failed;
                step.cancelled += tally.cancelled;
                step.retries += tally.retries;
                times[number].absorb(&tally.times);
                // What was told last, by whichever call.
                limits[number] = limits[number].max(tally.limit);
            }
            live.extend(part.live.iter().map(|(call, live)| (*call, *live)));
        }
        snapshot.runaways = u64::try_from(runaways).unwrap_or(0);
        live.retain(|(_, live)| live.step < paths.len());
        for (_, live) in &live {
            steps[live.step].count(live, now);
        }
        for (number, step) in steps.iter_mut().enumerate() {
            paths[number].as_str().clone_into(&mut step.path);
            step.limit = limits[number].1;
            step.p50 = times[number].percentile(50.0);
            step.p95 = times[number].percentile(95.0);
        }
        snapshot.oldest = oldest(&live, &paths, now);
        // The first of all is the flow itself, of which the snapshot tells in whole.
        snapshot.steps =
            order.into_iter().filter(|step| *step != FLOW).map(|step| std::mem::take(&mut steps[step])).collect();
    }
}

/// The first step that is ever called.
const FLOW: usize = 0;

/// Where the records are that came first: in the deepest of their calls, the oldest of these.
fn oldest(live: &[(u64, Live)], paths: &[Path], now: Duration) -> Vec<InStep> {
    let mut records: Vec<_> = live.iter().filter(|(_, live)| live.step == FLOW).collect();
    if records.len() > OLDEST {
        records.select_nth_unstable_by_key(OLDEST, |(call, live)| (live.started, *call));
        records.truncate(OLDEST);
    }
    records.sort_unstable_by_key(|(call, live)| (live.started, *call));
    let mut deepest: Vec<_> = records.iter().map(|(call, live)| (*call, *live)).collect();
    loop {
        let mut went = false;
        let mut next = deepest.clone();
        for (call, inner) in live {
            let Some(place) = deepest.iter().position(|(outer, _)| *outer == inner.parent) else { continue };
            // Of several at once, the one that holds the record up.
            let better = next[place].0 == deepest[place].0 || inner.started < next[place].1.started;
            if better {
                next[place] = (*call, *inner);
                went = true;
            }
        }
        deepest = next;
        if !went {
            break;
        }
    }
    let told = records.iter().zip(deepest).map(|((_, record), (_, inner))| InStep {
        record: record.item,
        path: paths[inner.step].as_str().to_owned(),
        time: now.saturating_sub(inner.started),
        attempt: inner.attempt,
        waiting: inner.waiting(now),
    });
    told.collect()
}

impl StepNow {
    fn count(&mut self, live: &Live, now: Duration) {
        match live.waiting(now) {
            Some(Waiting::InLine { queue: WaitKind::Limit, .. }) => self.queued += 1,
            Some(Waiting::InLine { .. }) => self.paced += 1,
            Some(Waiting::Attempt { after }) => {
                self.backing_off += 1;
                self.next_attempt = Some(self.next_attempt.map_or(after, |next| next.min(after)));
            }
            None if live.attempt > 1 => self.retrying += 1,
            None => self.running += 1,
        }
    }
}

impl Part {
    fn tally(&mut self, step: usize) -> &mut Tally {
        if self.steps.len() <= step {
            self.steps.resize_with(step + 1, Tally::default);
        }
        &mut self.steps[step]
    }

    fn end(&mut self, call: u64, took: Option<Duration>, count: impl FnOnce(&mut Tally)) {
        let Some(live) = self.live.remove(&call) else { return };
        let tally = self.tally(live.step);
        count(tally);
        if let Some(took) = took {
            tally.times.record(took);
        }
    }

    fn leave_line(&mut self, call: u64) {
        if let Some(live) = self.live.get_mut(&call) {
            live.lines = live.lines.saturating_sub(1);
        }
    }

    fn limit(&mut self, call: u64, at: Duration, limit: Option<usize>) {
        if let Some(step) = self.live.get(&call).map(|live| live.step) {
            self.tally(step).limit = (at, limit);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spreads numbers that follow one another: multiplication by 2⁶⁴ divided by the golden ratio (Knuth, TAOCP 3, 6.4).
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
