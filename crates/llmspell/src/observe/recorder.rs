//! From facts to readers: stamps each event and hands it to whoever listens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::context::node::RecordedCall;
use crate::observe::event::{Event, EventKind, EventSink};
use crate::observe::report::{Report, Tally};
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// How many events a recording keeps; the report counts on beyond it.
const KEPT_EVENTS: usize = 65_536;

/// The clock, the call numbers and the readers of one root context.
#[derive(Clone)]
pub(crate) struct Recorder {
    origin: Instant,
    calls: Arc<AtomicU64>,
    recording: Option<Arc<Mutex<Recording>>>,
    sinks: Vec<Reader>,
}

/// What [`Context::recording`](crate::Context::recording) keeps.
#[derive(Default)]
struct Recording {
    tally: Tally,
    events: Vec<Event>,
}

#[derive(Clone)]
struct Reader {
    sink: Arc<dyn EventSink>,
    /// A reader that has panicked is not called again.
    broken: Arc<AtomicBool>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder { origin: Instant::now(), calls: Arc::default(), recording: None, sinks: Vec::new() }
    }

    pub(crate) fn recording() -> Self {
        Recorder { recording: Some(Arc::default()), ..Recorder::new() }
    }

    pub(crate) fn with_sink(&self, sink: Arc<dyn EventSink>) -> Self {
        let mut more = self.clone();
        more.sinks.push(Reader { sink, broken: Arc::default() });
        more
    }

    pub(crate) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn record(&self, call: Option<(&RecordedCall, &Path)>, item: Option<usize>, fact: EventKind) {
        let mut event = Event {
            v: Event::VERSION,
            at: Duration::ZERO,
            path: call.map_or_else(Path::root, |(_, path)| path.clone()),
            call: call.map_or(0, |(call, _)| call.id),
            parent: call.map_or(0, |(call, _)| call.parent),
            item,
            fact,
        };
        match &self.recording {
            None => event.at = self.origin.elapsed(),
            Some(recording) => {
                let mut recording = lock(recording);
                // Stamped under the lock: the tally relies on events in the order of time.
                event.at = self.origin.elapsed();
                recording.tally.add(&event);
                if recording.events.len() < KEPT_EVENTS {
                    if self.sinks.is_empty() {
                        return recording.events.push(event);
                    }
                    recording.events.push(event.clone());
                }
            }
        }
        for reader in &self.sinks {
            if !reader.broken.load(Ordering::Relaxed)
                && catch_unwind(AssertUnwindSafe(|| reader.sink.record(&event))).is_err()
            {
                reader.broken.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn report(&self) -> Report {
        self.recording.as_ref().map(|recording| lock(recording).tally.report()).unwrap_or_default()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.recording.as_ref().map(|recording| lock(recording).events.clone()).unwrap_or_default()
    }
}
