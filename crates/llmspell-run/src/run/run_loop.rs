//! A run on its way: outcomes come, are counted, and become lines.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::{Error, Outcome, Quality, Streaming};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::closer::Ledger;
use super::ending::{Ending, Stop, Summary, reached};
use super::processor::{Done, Passage};
use super::remaining::Rest;
use crate::input::Intake;
use crate::journal::Closing;
use crate::output::{Ended, OnError, OutcomeLine, Writers};
use crate::progress::Progress;
use crate::report::{Account, Failures};

/// How long an aborted run waits for lines to reach the output.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the rest of the input is counted; a pipe may go on for ever.
const COUNTING: Duration = Duration::from_secs(2);

/// The same if somebody waits for the run to end.
const IN_A_HURRY: Duration = Duration::from_millis(200);

/// A run on its way.
pub(super) struct Course {
    stream: Streaming<Passage>,
    rest: Rest,
    writers: Writers,
    intake: Arc<Intake>,
    progress: Arc<Progress>,
    failures: Failures,
    journal: Option<Ledger>,
    stop: watch::Sender<Stop>,
    /// The failure that has stopped the run.
    failed: Option<Error>,
    /// Records that have no line, because what came of them could not be written down.
    unkept: u64,
}

/// Why there are no more outcomes to write.
pub(super) enum End {
    /// The stream has come to its end.
    Stream,
    Aborted,
    /// The writer has ended by itself.
    Writer(Ended),
}

impl Course {
    pub(super) fn new(
        stream: Streaming<Passage>,
        rest: Rest,
        writers: Writers,
        intake: Arc<Intake>,
        progress: Arc<Progress>,
        journal: Option<Ledger>,
        stop: watch::Sender<Stop>,
    ) -> Self {
        let failures = Failures::default();
        Course { stream, rest, writers, intake, progress, failures, journal, stop, failed: None, unkept: 0 }
    }

    /// Writes outcomes until there are no more.
    pub(super) async fn follow(&mut self) -> End {
        loop {
            let outcome = tokio::select! {
                biased;
                ended = self.writers.ended() => return End::Writer(ended),
                outcome = self.stream.next() => outcome,
            };
            let Some(outcome) = outcome else { return End::Stream };
            let Some((line, has_failed)) = self.line(outcome) else { continue };
            let since = Instant::now();
            let written = self.writers.write(line, has_failed).await;
            self.progress.waited_for_output(since.elapsed());
            if let Err(ended) = written {
                return End::Writer(ended);
            }
        }
    }

    /// Counts an outcome and makes its line, with whether it has failed; none if it is done again another time.
    fn line(&mut self, outcome: Outcome<Done>) -> Option<(Vec<u8>, bool)> {
        let taken = self.intake.line(outcome.index);
        let (result, took, replayed) = match outcome.result {
            Ok(Done::Told { result, took, replayed }) => (result, took, replayed),
            Ok(Done::Unkept) => {
                self.unkept += 1;
                return None;
            }
            Err(error) => (Err(error), taken.took, false),
        };
        let line = OutcomeLine {
            index: outcome.index,
            line: taken.number,
            result,
            quality: outcome.quality,
            causes: outcome.causes,
            provenance: outcome.provenance,
            took,
        };
        self.progress.bytes_done.fetch_max(taken.end, Ordering::Relaxed);
        self.progress.replayed.fetch_add(u64::from(replayed), Ordering::Relaxed);
        match &line.result {
            Ok(_) => {
                self.progress.degraded.fetch_add(u64::from(line.quality != Quality::Full), Ordering::Relaxed);
                self.progress.ok.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failures.add(line.line, error);
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                if self.writers.on_error == OnError::Stop && !replayed && self.failed.is_none() {
                    self.failed = Some(error.clone());
                    self.stop.send_modify(|now| *now = Stop::Drain.max(*now));
                }
            }
        }
        Some((line.bytes(), line.result.is_err()))
    }

    /// Stops what is left, and closes the output.
    pub(super) async fn finish(
        self,
        end: End,
        stop: &mut watch::Receiver<Stop>,
        began: Instant,
        called_off: bool,
        account: impl FnOnce() -> Account,
    ) -> Summary {
        let stopped = self.stream.stopped().cloned();
        self.stream.stop().await;
        let is_drained = *stop.borrow() >= Stop::Drain;
        let not_admitted = match &end {
            End::Stream if stopped.is_some() || is_drained => tokio::select! {
                biased;
                () = reached(stop, Stop::Abort) => None,
                counted = self.rest.count(if is_drained { IN_A_HURRY } else { COUNTING }) => counted,
            },
            _ => None,
        };
        // By whoever has called off the work around it, or by a journal that cannot be written: asked here, and not only
        // when it is closed, for a complete output takes its place for good.
        let cannot_keep = self.journal.as_ref().is_some_and(|ledger| ledger.failure().is_some());
        let is_cut = called_off || self.unkept > 0 || cannot_keep;
        let (ending, ended) = match end {
            End::Writer(ended) => (Ending::Complete, Some(self.writers.after(ended).await)),
            End::Aborted => (Ending::Aborted, timeout(LAST_LINES, self.writers.finish(false)).await.ok()),
            End::Stream => {
                let ending = match (self.intake.failure(), stopped) {
                    // Unless the last record had just been taken.
                    (_, Some(why)) if not_admitted.is_some() => because(why),
                    (Some(error), _) => Ending::InputFailed(error.clone()),
                    // Unless the last records had been taken when it was told to.
                    _ if is_drained && (is_cut || not_admitted.is_some() || *stop.borrow() > Stop::Drain) => {
                        self.failed.map_or(Ending::Drained, Ending::Failed)
                    }
                    _ if is_cut || !(is_drained || self.rest.is_empty()) => Ending::Aborted,
                    _ => Ending::Complete,
                };
                let complete = matches!(ending, Ending::Complete);
                tokio::select! {
                    ended = self.writers.finish(complete) => (ending, Some(ended)),
                    // Whoever reads the output has fallen asleep.
                    () = reached(stop, Stop::Abort) => (Ending::Aborted, None),
                }
            }
        };
        let (ended, errors) = ended.unzip();
        let (ending, written) = match ended {
            Some(Ended::Written(written)) => (ending, Some(written)),
            Some(Ended::NobodyReads) => (Ending::NobodyReads, None),
            Some(Ended::Failed(error, left)) => (Ending::OutputFailed(error), left),
            None => (ending, None),
        };
        let counted = self.progress.snapshot();
        let dropped = self.intake.under_way();
        let took = began.elapsed();
        let account = Account {
            took,
            ok: counted.ok,
            degraded: counted.degraded,
            failed: counted.failed,
            replayed: counted.replayed,
            dropped,
            left: not_admitted.filter(|rest| rest.is_all).map(|rest| rest.records),
            output_wait: counted.output_wait,
            ..account()
        };
        let mut account = account.closed(&self.failures);
        let damaged = self.journal.as_ref().map_or(0, Ledger::damaged);
        // With it goes what reads the journal, which can then be closed.
        drop(self.rest);
        let (ending, gone) = match self.journal {
            None => (ending, 0),
            Some(ledger) => {
                let failure = ledger.failure();
                let ending = failure.map_or(ending, Ending::JournalFailed);
                ending.as_str().clone_into(&mut account.ending);
                let closing = Closing {
                    ending: ending.as_str(),
                    ok: counted.ok,
                    degraded: counted.degraded,
                    failed: counted.failed,
                    replayed: counted.replayed,
                    report: serde_json::to_string(&account).ok(),
                };
                let aborted = matches!(ending, Ending::Aborted);
                let closing = ledger.close(ending, closing);
                // Somebody else may hold the journal, and whoever aborts does not wait.
                match aborted {
                    true => timeout(LAST_LINES, closing).await.unwrap_or((Ending::Aborted, 0)),
                    false => closing.await,
                }
            }
        };
        ending.as_str().clone_into(&mut account.ending);
        Summary {
            ending,
            ok: counted.ok,
            degraded: counted.degraded,
            failed: counted.failed,
            replayed: counted.replayed,
            gone,
            damaged,
            dropped,
            account,
            failures: self.failures,
            not_admitted,
            took,
            written,
            errors: errors.flatten(),
        }
    }
}

/// Why a stream has stopped: of a breaker, there is something that it has opened for.
fn because(why: Error) -> Ending {
    if why.causes().is_empty() { Ending::OverBudget(why) } else { Ending::Stopped(why) }
}
