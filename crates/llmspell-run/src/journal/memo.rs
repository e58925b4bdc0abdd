//! The cache of step results of one record, kept in the journal.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use llmspell::Error;
use llmspell_flow::internal::{CachedResult, KeepFuture, Memo, StepKey};

use super::result_meta::ResultMeta;
use super::write_command::RecordId;
use super::writer::JournalWriter;

/// The step results of one record.
pub(crate) struct StepCache {
    record: Arc<RecordId>,
    writer: JournalWriter,
    prior_results: Option<PriorResults>,
}

/// The results of a record from earlier sessions.
pub(crate) struct PriorResults {
    /// The numbers of the steps that the journal knew when the run began.
    pub(super) steps: Arc<HashMap<StepKey, i64>>,
    pub(super) results: HashMap<(i64, Box<str>), StoredResult>,
}

/// A result as it is stored in the journal.
pub(super) struct StoredResult {
    pub(super) output: String,
    pub(super) meta: Option<String>,
}

impl StoredResult {
    /// Whether the result can be parsed.
    pub(super) fn is_readable(&self) -> bool {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&self.output).is_ok();
        is_json && ResultMeta::from_json(self.meta.as_deref()).is_ok()
    }
}

impl StepCache {
    pub(crate) fn new(record: Arc<RecordId>, writer: JournalWriter, prior_results: Option<PriorResults>) -> Self {
        StepCache { record, writer, prior_results }
    }
}

impl Memo for StepCache {
    fn recall(&self, step: &StepKey, item: &str) -> Option<CachedResult> {
        let prior_results = self.prior_results.as_ref()?;
        let step = prior_results.steps.get(step)?;
        let stored = prior_results.results.get(&(*step, Box::from(item)))?;
        // An unreadable result counts as missing: the step runs again.
        let output = serde_json::from_str(&stored.output).ok()?;
        let ResultMeta { quality, causes, provenance } = ResultMeta::from_json(stored.meta.as_deref()).ok()?;
        Some(CachedResult { output, quality, causes, provenance })
    }

    /// Writes the result of a step, and waits until it is on disk.
    ///
    /// Fails if the journal cannot be written. The run then reads no more records, and work that could not be
    /// journaled runs again when the run is resumed.
    fn keep<'a>(&'a self, step: &'a StepKey, item: &'a str, kept: &'a CachedResult) -> KeepFuture<'a> {
        Box::pin(async move {
            let CachedResult { output, quality, causes, provenance } = kept;
            let output = serde_json::to_string(output).map_err(Error::from)?;
            let meta = ResultMeta { quality: *quality, causes: causes.clone(), provenance: provenance.clone() };
            self.writer.write_result(&self.record, step.clone(), item.to_owned(), output, meta.to_json()).await
        })
    }
}

impl fmt::Debug for StepCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("record", &self.record.id).finish_non_exhaustive()
    }
}
