//! A reader of events: it counts, while things run, how often each step was called, how often it failed, and how long it
//! took. It hears of whatever runs below the context that it was given to, in this program and on the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmspell::observe::{Event, EventKind, EventSink};

/// The counts so far; clones share them, so one clone can count while another is read.
#[derive(Clone, Default)]
pub struct CallCounter(Arc<Mutex<BTreeMap<String, Count>>>);

#[derive(Clone, Copy, Default)]
struct Count {
    begun: u64,
    ended: u64,
    failed: u64,
    took: Duration,
}

impl EventSink for CallCounter {
    /// Called where the event happens: no place to wait in.
    fn record(&self, event: &Event) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(event.path.to_string()).or_default();
        match event.fact {
            EventKind::Started => count.begun += 1,
            EventKind::Finished { took, .. } => {
                count.ended += 1;
                count.took += took;
            }
            EventKind::Failed { .. } => count.failed += 1,
            // There are more facts than these, and will be others.
            _ => {}
        }
    }
}

impl CallCounter {
    /// How many calls of the step with this path have ended well.
    pub fn ended(&self, path: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).map_or(0, |count| count.ended)
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Display for CallCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let called = || counts.iter().filter(|(_, count)| count.begun > 0);
        let width = called().map(|(path, _)| path.len()).max().unwrap_or_default();
        let lines = called().map(|(path, Count { begun, ended, failed, took })| {
            let mean = took.as_secs_f64() * 1e3 / (*ended).max(1) as f64;
            format!("{path:<width$} {begun:>3} called {ended:>3} ok {failed:>3} failed {mean:>8.2} ms")
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}
