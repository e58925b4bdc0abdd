//! Stop requests, the end of a run, and its summary.

use std::time::Duration;

use llmspell::Error;
use tokio::sync::watch;

use super::remaining::Unread;
use crate::journal::label;
use crate::output::OutputStats;
use crate::report::{Failures, RunReport};

/// How far a run must stop; a later variant includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    /// Read no more records; finish the records in flight.
    Drain,
    /// Stop everything.
    Abort,
}

/// A handle that ends a run before its input does; made by [`Run::stop_handle`](crate::Run::stop_handle).
#[derive(Clone, Debug)]
pub struct StopHandle(pub(super) watch::Sender<Stop>);

impl StopHandle {
    /// Reads no more records, and finishes the records in flight, including their waits and retries.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
    }

    /// Stops the records in flight, too. They have no line.
    pub fn abort(&self) {
        self.raise(Stop::Abort);
    }

    fn raise(&self, stop: Stop) {
        self.0.send_modify(|now| *now = stop.max(*now));
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunEnd {
    /// Every record has its line.
    Complete,
    /// The run was told to [drain](StopHandle::drain): every record that was read has its line.
    Drained,
    /// The run read no more records, because the last ones were [denied](llmspell::ErrorKind::Denied): every record that
    /// was read has its line, and [`Summary::unread`] counts the others.
    Stopped(Error),
    /// The run read no more records, because the rest of its [budget](crate::Run::budget) was too small for another one.
    OverBudget(Error),
    /// The run read no more records, because one [failed](crate::OnError::Stop): every record that was read has its line.
    Failed(Error),
    /// The run was told to [abort](StopHandle::abort), or the work around it was cancelled or timed out: some records have
    /// no line, or failed only because of that.
    Aborted,
    /// The reader of the output closed it.
    OutputClosed,
    /// The input could not be read to its end; the records before that have their lines.
    InputFailed(Error),
    /// The output could not be written.
    OutputFailed(Error),
    /// The journal could not be written or read: no more records were read, and records whose outcomes could not be
    /// journaled have no line. They run again when the run is resumed.
    JournalFailed(Error),
}

impl RunEnd {
    /// Returns the name of the end in the journal, such as `complete`.
    pub fn as_str(&self) -> &'static str {
        match self {
            RunEnd::Complete => "complete",
            RunEnd::Drained => "drained",
            RunEnd::Stopped(_) => "stopped",
            RunEnd::OverBudget(_) => "over_budget",
            RunEnd::Failed(_) => "failed",
            RunEnd::Aborted => "aborted",
            RunEnd::OutputClosed => "nobody_reads",
            RunEnd::InputFailed(_) => "input_failed",
            RunEnd::OutputFailed(_) => "output_failed",
            RunEnd::JournalFailed(_) => "journal_failed",
        }
    }

    /// Returns the name for people, such as `interrupted`.
    pub fn label(&self) -> &'static str {
        label(self.as_str())
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// How the run ended.
    pub ending: RunEnd,
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is partial or a substitute; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all these, records whose outcome was restored from an earlier session; the others ran.
    pub replayed: u64,
    /// Records of the journal that are no longer in the input. Known only if all of the input was read.
    pub gone: u64,
    /// Records that ran again, in part or as a whole, because some of their journal rows could not be read.
    pub damaged: u64,
    /// Records that were in flight when the run was stopped: they have no line.
    pub dropped: u64,
    /// The failures, by step and kind.
    pub failures: Failures,
    /// Records that were not read, if the run was [stopped](RunEnd::Stopped).
    pub unread: Option<Unread>,
    /// The time from start to end.
    pub took: Duration,
    /// The lines written and their file; `None` if that is not known.
    pub written: Option<OutputStats>,
    /// The report for people: counts, failures, times and advice.
    pub report: RunReport,
    /// The same for the lines of failed records, if they have an [output of their own](crate::Run::errors).
    pub errors: Option<OutputStats>,
}

impl Summary {
    /// Returns the summary of a run that read no record.
    pub(super) fn not_started(ending: RunEnd, took: Duration) -> Self {
        let (failures, unread, written, errors) = (Failures::default(), None, None, None);
        Summary {
            report: RunReport { ending: ending.as_str().to_owned(), took, ..RunReport::default() },
            ending,
            ok: 0,
            degraded: 0,
            failed: 0,
            replayed: 0,
            gone: 0,
            damaged: 0,
            dropped: 0,
            failures,
            unread,
            took,
            written,
            errors,
        }
    }
}

/// Waits until the run must stop at least this far.
pub(super) async fn wait_for_stop(stop: &mut watch::Receiver<Stop>, least: Stop) {
    if stop.wait_for(|now| *now >= least).await.is_err() {
        // The last stop handle is gone.
        std::future::pending::<()>().await;
    }
}
