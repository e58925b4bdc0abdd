//! The recorder: stamps each event and hands it to its readers.
//!
//! Owns the clock, the call numbers and the events kept by a recording. It must not interpret events; the folds do.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::context::node::Call;
use crate::observe::event::{Event, EventKind, EventSink};
use crate::observe::report::{Report, ReportBuilder};
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// A recording keeps at most this many events; the report goes on counting beyond it.
const MAX_EVENTS: usize = 65_536;

/// A thread takes this many call numbers at once, so that threads seldom write to one counter.
const CALL_BLOCK: u64 = 64;

/// The clock, the call numbers and the readers of one root context.
#[derive(Clone)]
pub(crate) struct Recorder {
    /// Distinguishes recorders; that of a clone is the same.
    id: u64,
    origin: Instant,
    last_call: Arc<AtomicU64>,
    recording: Option<Arc<Mutex<Recording>>>,
    sinks: Vec<SinkSlot>,
}

/// The events and counts that [`Context::recording`](crate::Context::recording) keeps.
#[derive(Debug, Default)]
struct Recording {
    builder: ReportBuilder,
    events: Vec<Event>,
    /// The time of the last event.
    last: Duration,
}

#[derive(Clone)]
struct SinkSlot {
    sink: Arc<dyn EventSink>,
    /// A reader that has panicked is not called again.
    has_panicked: Arc<AtomicBool>,
}

/// The call numbers that a thread has taken from a recorder and not used yet.
#[derive(Clone, Copy)]
struct CallBlock {
    recorder: u64,
    next: u64,
    end: u64,
}

/// Paths of recent events, kept by each thread in slots by address.
///
/// An event owns its path, and the threads of a run share a few paths: counting references for each event would move
/// their counters between cores all the time. So an event takes the path of the last event of the same step and puts it
/// back.
const SPARE_PATHS: usize = 16;

thread_local! {
    static CALLS: Cell<CallBlock> = const { Cell::new(CallBlock { recorder: 0, next: 0, end: 0 }) };
    static SPARES: RefCell<[Option<Path>; SPARE_PATHS]> = const { RefCell::new([const { None }; SPARE_PATHS]) };
}

fn spare_slot(path: &Path) -> usize {
    (path.as_str().as_ptr() as usize >> 4) % SPARE_PATHS
}

fn take_spare(path: &Path) -> Path {
    let spare = SPARES.try_with(|spares| {
        let slot = &mut spares.borrow_mut()[spare_slot(path)];
        slot.take_if(|spare| spare.is_same(path))
    });
    spare.ok().flatten().unwrap_or_else(|| path.clone())
}

fn put_spare(path: Path) {
    // The one that is replaced is dropped outside of the borrow. A thread that ends has no slots any more.
    let _ = SPARES.try_with(|spares| spares.borrow_mut()[spare_slot(&path)].replace(path));
}

impl Recorder {
    pub(crate) fn new() -> Self {
        static NEXT_RECORDER: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_RECORDER.fetch_add(1, Ordering::Relaxed);
        Recorder { id, origin: Instant::now(), last_call: Arc::default(), recording: None, sinks: Vec::new() }
    }

    pub(crate) fn recording() -> Self {
        Recorder { recording: Some(Arc::default()), ..Recorder::new() }
    }

    pub(crate) fn with_sink(&self, sink: Arc<dyn EventSink>) -> Self {
        let mut more = self.clone();
        more.sinks.push(SinkSlot { sink, has_panicked: Arc::default() });
        more
    }

    /// Returns a number that no other call of this recorder has.
    pub(crate) fn next_call(&self) -> u64 {
        let mut block = CALLS.get();
        if block.recorder != self.id || block.next == block.end {
            let last = self.last_call.fetch_add(CALL_BLOCK, Ordering::Relaxed);
            block = CallBlock { recorder: self.id, next: last + 1, end: last + 1 + CALL_BLOCK };
        }
        let call = block.next;
        block.next += 1;
        CALLS.set(block);
        call
    }

    pub(crate) fn record(&self, call: Option<(&Call, &Path)>, item: Option<usize>, at: Instant, fact: EventKind) {
        let mut event = Event {
            v: Event::VERSION,
            at: at.saturating_duration_since(self.origin),
            path: call.map_or_else(Path::root, |(_, path)| take_spare(path)),
            call: call.map_or(0, |(call, _)| call.id),
            parent: call.map_or(0, |(call, _)| call.parent),
            item,
            fact,
        };
        if let Some(recording) = &self.recording {
            let mut recording = lock(recording);
            // The tally relies on events in the order of time. If a thread came late to the lock, its event gets the time of the last one.
            event.at = event.at.max(recording.last);
            recording.last = event.at;
            recording.builder.add(&event);
            if recording.events.len() < MAX_EVENTS {
                if self.sinks.is_empty() {
                    return recording.events.push(event);
                }
                recording.events.push(event.clone());
            }
        }
        for slot in &self.sinks {
            if !slot.has_panicked.load(Ordering::Relaxed)
                && catch_unwind(AssertUnwindSafe(|| slot.sink.record(&event))).is_err()
            {
                slot.has_panicked.store(true, Ordering::Relaxed);
            }
        }
        put_spare(event.path);
    }

    pub(crate) fn report(&self) -> Report {
        self.recording.as_ref().map(|recording| lock(recording).builder.report()).unwrap_or_default()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.recording.as_ref().map(|recording| lock(recording).events.clone()).unwrap_or_default()
    }
}
