//! What one record's steps gave before, and where they put what they give.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use llmspell::Error;
use llmspell_flow::internal::{KeepFuture, CachedResult, Memo, StepKey};

use super::result_meta::Story;
use super::writer::{Entry, Pen};

/// The memory of one record.
pub(crate) struct Memory {
    record: Arc<Entry>,
    pen: Pen,
    past: Option<Past>,
}

/// What was kept of a record in earlier sessions.
pub(crate) struct Past {
    /// The numbers of the steps that the journal knew when the run began.
    pub(super) steps: Arc<HashMap<StepKey, i64>>,
    pub(super) results: HashMap<(i64, Box<str>), Stored>,
}

/// A result as it stands in the journal.
pub(super) struct Stored {
    pub(super) output: String,
    pub(super) story: Option<String>,
}

impl Stored {
    /// Whether it can be read.
    pub(super) fn is_whole(&self) -> bool {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&self.output).is_ok();
        is_json && Story::read(self.story.as_deref()).is_ok()
    }
}

impl Memory {
    pub(crate) fn new(record: Arc<Entry>, pen: Pen, past: Option<Past>) -> Self {
        Memory { record, pen, past }
    }
}

impl Memo for Memory {
    fn recall(&self, step: &StepKey, item: &str) -> Option<CachedResult> {
        let past = self.past.as_ref()?;
        let step = past.steps.get(step)?;
        let stored = past.results.get(&(*step, Box::from(item)))?;
        // What cannot be read is as good as not there: the step runs again.
        let output = serde_json::from_str(&stored.output).ok()?;
        let Story { quality, causes, provenance } = Story::read(stored.story.as_deref()).ok()?;
        Some(CachedResult { output, quality, causes, provenance })
    }

    /// Writes down what the step has given, and waits until that is safe on the disk.
    ///
    /// Fails if the journal cannot be written. The run takes no more records then, and what could not be written is
    /// done again when it is resumed.
    fn keep<'a>(&'a self, step: &'a StepKey, item: &'a str, kept: &'a CachedResult) -> KeepFuture<'a> {
        Box::pin(async move {
            let CachedResult { output, quality, causes, provenance } = kept;
            let output = serde_json::to_string(output).map_err(Error::from)?;
            let story = Story { quality: *quality, causes: causes.clone(), provenance: provenance.clone() };
            self.pen.result(&self.record, step.clone(), item.to_owned(), output, story.written()).await
        })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("record", &self.record.id).finish_non_exhaustive()
    }
}
