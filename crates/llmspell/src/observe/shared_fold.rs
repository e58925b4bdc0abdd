//! A fold that threads share: for readers that look at a run while it goes on.
//!
//! Owns one [`Fold`] for each thread or so, each under its own lock. It takes events in whatever order threads bring them,
//! so it must not compute what depends on an order across calls, such as a critical path.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::event::{Event, EventKind, EventSink};
use super::fold::{Fold, LiveCall, StepTotals, Totals};
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// More shards would make a snapshot slower and events hardly faster.
const MAX_SHARDS: usize = 16;

/// Folds events as they come, from any thread; [`SharedFold::snapshot`] reads the state.
///
/// A call lives in the shard of the thread that started it. Most calls report all their events from one thread, so an
/// event usually takes one uncontended lock, on cache lines that its core already owns. Where a call has moved to
/// another thread, the other shards are searched, one lock at a time.
#[derive(Debug)]
pub struct SharedFold {
    shards: Box<[Shard]>,
    /// The moment from which events count their time.
    origin: OnceLock<Instant>,
}

/// A fold on cache lines of its own, so that threads do not slow each other down by being neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Fold>);

/// A run at one moment; made by [`SharedFold::snapshot`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FoldSnapshot {
    /// The moment, on the clock of the events.
    pub at: Duration,
    /// The steps that have been called, in the order of their first calls.
    pub steps: Vec<StepTotals>,
    /// The calls in progress with their numbers; [`LiveCall::step`] is an index of `steps`.
    pub calls: Vec<(u64, LiveCall)>,
    /// The counts of the run.
    pub totals: Totals,
}

impl Default for SharedFold {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        SharedFold::with_shards(threads.min(MAX_SHARDS))
    }
}

impl SharedFold {
    fn with_shards(shards: usize) -> Self {
        SharedFold { shards: (0..shards).map(|_| Shard::default()).collect(), origin: OnceLock::new() }
    }

    /// The shard of this thread.
    fn home(&self) -> usize {
        static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
        }
        THREAD.with(|thread| thread % self.shards.len())
    }

    fn start(&self, home: usize, event: &Event) {
        self.origin.get_or_init(|| Instant::now() - event.at);
        let has_caller_here = {
            let mut fold = lock(&self.shards[home].0);
            fold.start(event);
            fold.mark_caller(event.parent, event.at)
        };
        if !has_caller_here && event.parent != 0 {
            self.elsewhere(home, &mut |fold| fold.mark_caller(event.parent, event.at));
        }
    }

    fn end(&self, home: usize, event: &Event) {
        let mut add = |fold: &mut Fold| fold.end(event).is_some();
        let _ = self.here(home, &mut add) || self.elsewhere(home, &mut add);
    }

    fn update(&self, home: usize, event: &Event) {
        // Where the call is in progress.
        let mut at_call = |fold: &mut Fold| add_if(fold, event, |fold| fold.is_in_progress(event.call));
        if event.call != 0 && (self.here(home, &mut at_call) || self.elsewhere(home, &mut at_call)) {
            return;
        }
        // The call has ended, or there was none: where its step is known, else anywhere, so that the run counts it.
        let mut at_step = |fold: &mut Fold| add_if(fold, event, |fold| fold.knows(event.call, &event.path));
        if !self.here(home, &mut at_step) && !self.elsewhere(home, &mut at_step) {
            self.here(home, &mut |fold| add_if(fold, event, |_| true));
        }
    }

    fn here(&self, home: usize, add: &mut impl FnMut(&mut Fold) -> bool) -> bool {
        add(&mut lock(&self.shards[home].0))
    }

    /// Tries `add` on the shards other than `home` until it returns true. Never holds two locks.
    fn elsewhere(&self, home: usize, add: &mut impl FnMut(&mut Fold) -> bool) -> bool {
        (0..self.shards.len()).filter(|shard| *shard != home).any(|shard| self.here(shard, add))
    }

    /// Returns the state of the run. The shards are read one after another, so a call that ends meanwhile may be counted
    /// as ended in one figure and not yet in another.
    pub fn snapshot(&self) -> FoldSnapshot {
        let mut now = FoldSnapshot::default();
        let Some(origin) = self.origin.get() else { return now };
        now.at = origin.elapsed();
        let mut numbers: HashMap<Path, usize> = HashMap::new();
        for shard in &self.shards {
            let fold = lock(&shard.0);
            now.totals.merge(fold.totals());
            let mut number_of = Vec::with_capacity(fold.steps().len());
            for step in fold.steps() {
                let number = *numbers.entry(step.path.clone()).or_insert(now.steps.len());
                match now.steps.get_mut(number) {
                    Some(known) => known.merge(step),
                    None => now.steps.push(step.clone()),
                }
                number_of.push(number);
            }
            now.calls.extend(fold.calls().map(|(number, call)| {
                let mut call = *call;
                call.step = number_of[call.step];
                (number, call)
            }));
        }
        now.sort_steps();
        now
    }
}

fn add_if(fold: &mut Fold, event: &Event, is_here: impl Fn(&mut Fold) -> bool) -> bool {
    let is_here = is_here(fold);
    if is_here {
        fold.update(event);
    }
    is_here
}

impl FoldSnapshot {
    /// Puts the steps in the order of their first calls, without those that only appear as what a call waits for.
    fn sort_steps(&mut self) {
        let mut order: Vec<usize> = (0..self.steps.len()).filter(|number| self.steps[*number].calls > 0).collect();
        order.sort_by_key(|number| self.steps[*number].first_seen);
        let mut place_of = vec![None; self.steps.len()];
        for (place, number) in order.iter().enumerate() {
            place_of[*number] = Some(place);
        }
        self.calls.retain_mut(|(_, call)| match place_of[call.step] {
            Some(place) => {
                call.step = place;
                true
            }
            None => false,
        });
        let mut steps: Vec<Option<StepTotals>> = std::mem::take(&mut self.steps).into_iter().map(Some).collect();
        self.steps = order.into_iter().filter_map(|number| steps[number].take()).collect();
    }
}

impl EventSink for SharedFold {
    fn record(&self, event: &Event) {
        let home = self.home();
        match &event.fact {
            EventKind::Started => self.start(home, event),
            EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Cancelled { .. } => {
                self.end(home, event);
            }
            _ => self.update(home, event),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
