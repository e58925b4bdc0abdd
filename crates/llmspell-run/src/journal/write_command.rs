//! The commands that the writer's thread executes, and their data.

use std::sync::Arc;

use llmspell_flow::internal::StepKey;
use tokio::sync::oneshot;

use super::command::ControlCommand;

/// A record as the journal recognizes it.
#[derive(Clone, Debug)]
pub(crate) struct RecordId {
    /// Its number in the journal.
    pub(crate) id: u64,
    pub(crate) key: [u8; 16],
    /// The hash of its content, if the key is a declared field.
    pub(crate) content: Option<[u8; 16]>,
    /// Its line in the input.
    pub(crate) line: u64,
}

/// The outcome of a record.
#[derive(Debug)]
pub(crate) struct RecordResult {
    pub(crate) status: Status,
    /// JSON; `None` if it failed.
    pub(crate) output: Option<Arc<str>>,
    /// JSON; only if it failed.
    pub(crate) error: Option<String>,
    pub(crate) meta: Option<Arc<str>>,
    pub(crate) took_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Failed,
    /// The record failed because the run was ending; it runs again.
    Interrupted,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
        }
    }
}

/// How a session ended.
#[derive(Debug, Default)]
pub(crate) struct SessionEnd {
    pub(crate) ending: &'static str,
    pub(crate) ok: u64,
    pub(crate) degraded: u64,
    pub(crate) failed: u64,
    pub(crate) replayed: u64,
    pub(crate) report: Option<String>,
}

/// A command for the writer's thread.
pub(super) enum WriteCommand {
    Result {
        record: Arc<RecordId>,
        step: StepKey,
        item: String,
        output: String,
        meta: Option<String>,
    },
    Record {
        record: Arc<RecordId>,
        finished: RecordResult,
    },
    /// Removes the rows under this number: they are of another record.
    Forget(u64),
    Commands(oneshot::Sender<Vec<ControlCommand>>),
    Answer(i64, String),
    /// The run is ending: an earlier pause no longer holds.
    Stopping,
    Close(SessionEnd),
}
