//! How a run is stopped, how it ends, and what came of it.

use std::time::Duration;

use llmspell::Error;
use tokio::sync::watch;

use super::remaining::NotAdmitted;
use crate::journal::in_words;
use crate::output::Written;
use crate::report::{Account, Failures};

/// How much of a run is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    /// Take no more records; finish those in flight.
    Drain,
    /// Stop everything.
    Abort,
}

/// Ends a run before its input does; made by [`Run::brake`](crate::Run::brake).
#[derive(Clone, Debug)]
pub struct Brake(pub(super) watch::Sender<Stop>);

impl Brake {
    /// Takes no more records, and finishes those in flight, with their waits and retries.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
    }

    /// Stops what is in flight, too. Its records get no line.
    pub fn abort(&self) {
        self.raise(Stop::Abort);
    }

    fn raise(&self, stop: Stop) {
        self.0.send_modify(|now| *now = stop.max(*now));
    }
}

/// How a run came to its end.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Every record has its line.
    Complete,
    /// It was told to [drain](Brake::drain): every record that was taken has its line.
    Drained,
    /// It took no more records, because the last ones were [denied](llmspell::ErrorKind::Denied): every record that was
    /// taken has its line, and [`Summary::not_admitted`] tells of the others.
    Stopped(Error),
    /// It took no more records, because what was left of its [budget](crate::Run::budget) was not enough for another one.
    OverBudget(Error),
    /// It took no more records, because one has [failed](crate::OnError::Stop): every record that was taken has its line.
    Failed(Error),
    /// It was told to [abort](Brake::abort), or the work around it was cancelled or out of time: not every record has a
    /// line, or has failed for no other reason.
    Aborted,
    /// Whoever read the output has had enough.
    NobodyReads,
    /// The input broke off; the records before that have their lines.
    InputFailed(Error),
    /// The output could not be written.
    OutputFailed(Error),
    /// The journal could not be written or read: no more records were taken, and those whose outcomes could not be kept
    /// have no line. When the run is resumed, they run again.
    JournalFailed(Error),
}

impl Ending {
    /// Its name in the journal, such as `complete`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::Drained => "drained",
            Ending::Stopped(_) => "stopped",
            Ending::OverBudget(_) => "over_budget",
            Ending::Failed(_) => "failed",
            Ending::Aborted => "aborted",
            Ending::NobodyReads => "nobody_reads",
            Ending::InputFailed(_) => "input_failed",
            Ending::OutputFailed(_) => "output_failed",
            Ending::JournalFailed(_) => "journal_failed",
        }
    }

    /// The same for people, such as `interrupted`.
    pub fn in_words(&self) -> &'static str {
        in_words(self.as_str())
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is less than what was asked for; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all these, records whose outcome an earlier session of the run has left; the others have run.
    pub replayed: u64,
    /// Records of the journal that are not in the input any more. Known only if all of the input was read.
    pub gone: u64,
    /// Records that were done again, in part or as a whole, because some of what the journal had of them could not be
    /// read.
    pub damaged: u64,
    /// Records that were under way when the run was stopped: they have no line.
    pub dropped: u64,
    /// Why they failed, by step and kind.
    pub failures: Failures,
    /// Records that were not taken, if the run was [stopped](Ending::Stopped).
    pub not_admitted: Option<NotAdmitted>,
    /// From start to end.
    pub took: Duration,
    /// What was written, and where it is; `None` if that is not known.
    pub written: Option<Written>,
    /// All this for readers, with where the time went.
    pub account: Account,
    /// The same of the lines of failed records, if they go [elsewhere](crate::Run::errors).
    pub errors: Option<Written>,
}

impl Summary {
    /// Of a run that took no record.
    pub(super) fn nothing(ending: Ending, took: Duration) -> Self {
        let (failures, not_admitted, written, errors) = (Failures::default(), None, None, None);
        Summary {
            account: Account { ending: ending.as_str().to_owned(), took, ..Account::default() },
            ending,
            ok: 0,
            degraded: 0,
            failed: 0,
            replayed: 0,
            gone: 0,
            damaged: 0,
            dropped: 0,
            failures,
            not_admitted,
            took,
            written,
            errors,
        }
    }
}

/// Completes once so much of the run is no longer wanted.
pub(super) async fn reached(stop: &mut watch::Receiver<Stop>, least: Stop) {
    if stop.wait_for(|now| *now >= least).await.is_err() {
        // Nobody can brake any more.
        std::future::pending::<()>().await;
    }
}
