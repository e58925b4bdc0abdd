//! The line of output for one record.
//!
//! ```text
//! {"index":0,"line":1,"status":"ok","quality":"full","output":…,"retries":0,"took_ms":1.2}
//! {"index":1,"line":2,"status":"failed","error":{"kind":"timeout","message":"…","path":"triage.fetch"},"retries":2,"took_ms":3004.8}
//! ```

use std::time::Duration;

use llmspell::{Error, Quality, Result};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// One record's outcome, with where it came from and how long it took.
pub(crate) struct OutcomeLine {
    pub(crate) index: usize,
    pub(crate) line: u64,
    pub(crate) result: Result<Value>,
    pub(crate) quality: Quality,
    /// What went wrong on the way without stopping the record.
    pub(crate) causes: Vec<Error>,
    /// Attempts beyond the first of the steps that gave a result.
    pub(crate) retries: u32,
    /// Unknown if the record's task was lost.
    pub(crate) took: Option<Duration>,
}

impl Serialize for OutcomeLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("line", &self.line)?;
        match &self.result {
            Ok(output) => {
                map.serialize_entry("status", "ok")?;
                map.serialize_entry("quality", &self.quality)?;
                map.serialize_entry("output", output)?;
            }
            Err(error) => {
                map.serialize_entry("status", "failed")?;
                map.serialize_entry("error", error)?;
            }
        }
        if !self.causes.is_empty() {
            map.serialize_entry("causes", &self.causes)?;
        }
        map.serialize_entry("retries", &self.retries)?;
        map.serialize_entry("took_ms", &self.took.map(|took| took.as_micros() as f64 / 1e3))?;
        map.end()
    }
}
