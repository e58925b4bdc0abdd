//! The line of output for one record.
//!
//! ```text
//! {"index":0,"line":1,"status":"ok","quality":"full","output":…,"retries":0,"took_ms":1.2}
//! {"index":1,"line":2,"status":"failed","error":{"kind":"timeout","message":"…","path":"triage.fetch"},"retries":2,"took_ms":3004.8}
//! ```
//!
//! Optional fields: `causes`, the errors on the way; `choices`, the winner of a race, a second copy or a fallback;
//! `usage`, tokens and cost; `stages`, the time of the record in each step.

use std::sync::Arc;
use std::time::Duration;

use llmspell::observe::{Provenance, Quality, StageTime};
use llmspell::{Error, Result};
use serde::{Serialize, Serializer};

/// The outcome of a record, with its provenance and duration.
pub(crate) struct OutcomeLine {
    pub(crate) index: usize,
    pub(crate) line: u64,
    /// The output as JSON.
    pub(crate) result: Result<Arc<str>>,
    pub(crate) quality: Quality,
    /// The errors on the way that did not stop the record.
    pub(crate) causes: Vec<Error>,
    pub(crate) provenance: Provenance,
    /// `None` if the task of the record was lost.
    pub(crate) took: Option<Duration>,
}

impl OutcomeLine {
    /// Returns the line with its end. Composed by hand because the output is already JSON.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let room = self.result.as_ref().map_or(0, |output| output.len());
        let mut bytes = Vec::with_capacity(128 + room);
        bytes.push(b'{');
        put(&mut bytes, "index", &self.index);
        put(&mut bytes, "line", &self.line);
        match &self.result {
            Ok(output) => {
                put(&mut bytes, "status", &"ok");
                put(&mut bytes, "quality", &self.quality);
                bytes.extend_from_slice(b",\"output\":");
                bytes.extend_from_slice(output.as_bytes());
            }
            Err(error) => {
                put(&mut bytes, "status", &"failed");
                put(&mut bytes, "error", error);
            }
        }
        if !self.causes.is_empty() {
            put(&mut bytes, "causes", &Error::grouped(&self.causes));
        }
        put(&mut bytes, "retries", &self.provenance.retries);
        if !self.provenance.choices.is_empty() {
            put(&mut bytes, "choices", &self.provenance.choices);
        }
        let usage = self.provenance.usage();
        if !usage.is_zero() {
            put(&mut bytes, "usage", &usage);
        }
        if !self.provenance.stages().is_empty() {
            put(&mut bytes, "stages", &Stages(self.provenance.stages()));
        }
        put(&mut bytes, "took_ms", &self.took.map(|took| took.as_micros() as f64 / 1e3));
        bytes.extend_from_slice(b"}\n");
        bytes
    }
}

/// Milliseconds by path.
struct Stages<'a>(&'a [StageTime]);

impl Serialize for Stages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|stage| (stage.path.as_str(), stage.took.as_micros() as f64 / 1e3)))
    }
}

fn put(bytes: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    if bytes.len() > 1 {
        bytes.push(b',');
    }
    bytes.push(b'"');
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b"\":");
    // Maps have text for keys and numbers are finite, so there is always JSON.
    let _ = serde_json::to_writer(bytes, value);
}
