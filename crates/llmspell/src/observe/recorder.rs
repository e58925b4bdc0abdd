//! The recorder: stamps each event and passes it to the sinks.
//!
//! Owns the clock, the call numbers and the events kept by a recording. It must not interpret events; the folds do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::event::{Event, EventKind, EventSink};
use crate::observe::report::{Report, ReportBuilder};
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// The call that an event belongs to.
#[derive(Clone, Copy)]
pub(crate) struct EventCall<'a> {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) path: &'a Path,
}

/// A recording keeps at most this many events; the report goes on counting beyond it.
const MAX_EVENTS: usize = 65_536;

/// The clock, the call numbers and the sinks of one root context.
#[derive(Clone)]
pub(crate) struct Recorder {
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

/// A sink of a recorder.
#[derive(Clone)]
struct SinkSlot {
    sink: Arc<dyn EventSink>,
    /// A sink that has panicked is not called again.
    has_panicked: Arc<AtomicBool>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder { origin: Instant::now(), last_call: Arc::default(), recording: None, sinks: Vec::new() }
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
        self.last_call.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn record(&self, call: Option<EventCall<'_>>, item: Option<usize>, at: Instant, fact: EventKind) {
        let mut event = Event {
            v: Event::VERSION,
            at: at.saturating_duration_since(self.origin),
            path: call.map_or_else(Path::root, |call| call.path.clone()),
            call: call.map_or(0, |call| call.id),
            parent: call.map_or(0, |call| call.parent),
            item,
            fact,
        };
        if let Some(recording) = &self.recording {
            let mut recording = lock(recording);
            // The report needs events in the order of time. If a thread came late to the lock, its event gets the time of
            // the last one.
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
    }

    pub(crate) fn report(&self) -> Report {
        self.recording.as_ref().map(|recording| lock(recording).builder.report()).unwrap_or_default()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.recording.as_ref().map(|recording| lock(recording).events.clone()).unwrap_or_default()
    }
}
