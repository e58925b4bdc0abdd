//! The end of a run: stops the stream, closes output and journal, and decides how the run ended.

use std::time::Duration;

use llmspell::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::remaining::Unread;
use super::run_end::{RunEnd, Stop, Summary, wait_for_stop};
use super::run_loop::{LoopEnd, LoopState, RunLoop};
use super::session::JournalCloser;
use crate::journal::SessionEnd;
use crate::output::{OutputStats, WriteEnd, Writers};
use crate::progress::Snapshot;
use crate::report::{RunReport, advise};

/// How long an aborted run waits for lines to reach the output, and for its journal to close.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the remaining input is counted; a pipe may never end.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// The same if the run was told to stop, and its user waits for the end.
const DRAIN_COUNT_TIMEOUT: Duration = Duration::from_millis(200);

/// The facts about the caller that the end of a run needs.
pub(super) struct FinishContext {
    pub(super) began: Instant,
    /// Whether the work around the run was cancelled.
    pub(super) is_cancelled: bool,
}

/// The end of a run as far as its output tells, before the journal is closed.
struct ClosedOutput {
    run_end: RunEnd,
    written: Option<OutputStats>,
    errors: Option<OutputStats>,
}

impl RunLoop {
    /// Stops the records in flight, and closes output and journal.
    pub(super) async fn finish(
        self,
        end: LoopEnd,
        stop: &mut watch::Receiver<Stop>,
        context: FinishContext,
        report: impl FnOnce() -> RunReport,
    ) -> Summary {
        let RunLoop { stream, writers, state, .. } = self;
        let stopped = stream.stopped().cloned();
        stream.stop().await;
        let is_drained = *stop.borrow() >= Stop::Drain;
        let unread = match &end {
            LoopEnd::Stream if stopped.is_some() || is_drained => state.count_unread(is_drained, stop).await,
            _ => None,
        };
        let output = match end {
            LoopEnd::Writer(ended) => ClosedOutput::new(RunEnd::Complete, Some(writers.after(ended).await)),
            LoopEnd::Aborted => {
                ClosedOutput::new(RunEnd::Aborted, timeout(ABORT_TIMEOUT, writers.finish(false)).await.ok())
            }
            LoopEnd::Stream => {
                let facts = EndFacts {
                    stopped,
                    input_failure: state.tracker.failure().cloned(),
                    stopped_by: state.stopped_by.clone(),
                    is_drained,
                    is_aborted: *stop.borrow() > Stop::Drain,
                    is_cut: context.is_cancelled || state.is_incomplete(),
                    has_unread: unread.is_some(),
                    is_input_consumed: state.remaining.is_empty(),
                };
                close_output(writers, facts.run_end(), stop).await
            }
        };
        state.close(output, unread, context.began.elapsed(), report).await
    }
}

/// Completes the output if the run is complete.
async fn close_output(writers: Writers, run_end: RunEnd, stop: &mut watch::Receiver<Stop>) -> ClosedOutput {
    let is_complete = matches!(run_end, RunEnd::Complete);
    tokio::select! {
        ended = writers.finish(is_complete) => ClosedOutput::new(run_end, Some(ended)),
        // The reader of the output does not read.
        () = wait_for_stop(stop, Stop::Abort) => ClosedOutput::new(RunEnd::Aborted, None),
    }
}

impl ClosedOutput {
    fn new(run_end: RunEnd, ended: Option<(WriteEnd, Option<OutputStats>)>) -> Self {
        let (ended, errors) = ended.unzip();
        let (run_end, written) = match ended {
            Some(WriteEnd::Written(written)) => (run_end, Some(written)),
            Some(WriteEnd::OutputClosed) => (RunEnd::OutputClosed, None),
            Some(WriteEnd::Failed(error, left)) => (RunEnd::OutputFailed(error), left),
            None => (run_end, None),
        };
        ClosedOutput { run_end, written, errors: errors.flatten() }
    }
}

/// The facts that decide how a run ended whose stream came to its end.
#[derive(Default)]
struct EndFacts {
    /// The reason why the stream read no more records.
    stopped: Option<Error>,
    input_failure: Option<Error>,
    /// The failed record that stopped the run.
    stopped_by: Option<Error>,
    is_drained: bool,
    is_aborted: bool,
    /// Whether outcomes are missing.
    is_cut: bool,
    /// Whether records were not read.
    has_unread: bool,
    /// Whether the input is at its end and all of it was read.
    is_input_consumed: bool,
}

impl EndFacts {
    fn run_end(self) -> RunEnd {
        match (self.input_failure, self.stopped) {
            // Not if the stream had just read the last record.
            (_, Some(reason)) if self.has_unread => early_end(reason),
            (Some(error), _) => RunEnd::InputFailed(error),
            // Not if all records had been read before the run was told to drain.
            _ if self.is_drained && (self.is_cut || self.has_unread || self.is_aborted) => {
                self.stopped_by.map_or(RunEnd::Drained, RunEnd::Failed)
            }
            _ if self.is_cut || !(self.is_drained || self.is_input_consumed) => RunEnd::Aborted,
            _ => RunEnd::Complete,
        }
    }
}

/// Returns the end that belongs to the reason why a stream stopped. A breaker names the causes for which it opened; a
/// budget has none.
fn early_end(reason: Error) -> RunEnd {
    if reason.causes().is_empty() { RunEnd::OverBudget(reason) } else { RunEnd::Stopped(reason) }
}

impl LoopState {
    /// Counts the records that were not read, within bounded time.
    async fn count_unread(&self, is_drained: bool, stop: &mut watch::Receiver<Stop>) -> Option<Unread> {
        tokio::select! {
            biased;
            () = wait_for_stop(stop, Stop::Abort) => None,
            counted = self.remaining.count(if is_drained { DRAIN_COUNT_TIMEOUT } else { COUNT_TIMEOUT }) => counted,
        }
    }

    /// Whether outcomes are missing because the journal cannot be written. Checked before the output is completed, and
    /// not only when the journal is closed: a complete output replaces the older file for good.
    fn is_incomplete(&self) -> bool {
        self.not_journaled > 0 || self.journal.as_ref().is_some_and(|journal| journal.failure().is_some())
    }

    /// Closes the journal, and sums the run up.
    async fn close(
        self,
        output: ClosedOutput,
        unread: Option<Unread>,
        took: Duration,
        report: impl FnOnce() -> RunReport,
    ) -> Summary {
        let ClosedOutput { run_end, written, errors } = output;
        let counted = self.progress.snapshot();
        let dropped = self.tracker.in_flight();
        let report = RunReport {
            took,
            ok: counted.ok,
            degraded: counted.degraded,
            failed: counted.failed,
            replayed: counted.replayed,
            dropped,
            left: unread.filter(|unread| unread.is_all).map(|unread| unread.records),
            output_wait: counted.output_wait,
            ..report()
        };
        let mut report = report.with_failures(&self.failures);
        report.advice = advise(&report);
        let damaged = self.journal.as_ref().map_or(0, JournalCloser::damaged);
        // Drops the reader of the journal with it; only then can the journal be closed.
        drop(self.remaining);
        let (run_end, gone) = match self.journal {
            None => (run_end, 0),
            Some(journal) => close_journal(journal, run_end, &counted, &mut report).await,
        };
        run_end.as_str().clone_into(&mut report.ending);
        Summary {
            ending: run_end,
            ok: counted.ok,
            degraded: counted.degraded,
            failed: counted.failed,
            replayed: counted.replayed,
            gone,
            damaged,
            dropped,
            report,
            failures: self.failures,
            unread,
            took,
            written,
            errors,
        }
    }
}

async fn close_journal(
    journal: JournalCloser,
    run_end: RunEnd,
    counted: &Snapshot,
    report: &mut RunReport,
) -> (RunEnd, u64) {
    let run_end = journal.failure().map_or(run_end, RunEnd::JournalFailed);
    run_end.as_str().clone_into(&mut report.ending);
    let session_end = SessionEnd {
        ending: run_end.as_str(),
        ok: counted.ok,
        degraded: counted.degraded,
        failed: counted.failed,
        replayed: counted.replayed,
        report: serde_json::to_string(report).ok(),
    };
    let is_aborted = matches!(run_end, RunEnd::Aborted);
    let closing = journal.close(run_end, session_end);
    // Another process may hold the journal, and an aborted run does not wait for it.
    match is_aborted {
        true => timeout(ABORT_TIMEOUT, closing).await.unwrap_or((RunEnd::Aborted, 0)),
        false => closing.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Option<Error> {
        Some(Error::failed("no"))
    }

    fn with_causes() -> Option<Error> {
        Some(Error::failed("open").with_causes(vec![Error::denied("no money")]))
    }

    fn run_end(facts: EndFacts) -> &'static str {
        facts.run_end().as_str()
    }

    fn consumed() -> EndFacts {
        EndFacts { is_input_consumed: true, ..EndFacts::default() }
    }

    #[test]
    fn a_consumed_input_completes_the_run() {
        assert_eq!(run_end(consumed()), "complete");
    }

    #[test]
    fn a_stop_with_causes_and_unread_records_is_stopped() {
        assert_eq!(run_end(EndFacts { stopped: with_causes(), has_unread: true, ..consumed() }), "stopped");
    }

    #[test]
    fn a_stop_without_causes_is_over_budget() {
        assert_eq!(run_end(EndFacts { stopped: error(), has_unread: true, ..consumed() }), "over_budget");
    }

    #[test]
    fn a_stop_wins_over_a_broken_input() {
        let facts = EndFacts { stopped: with_causes(), input_failure: error(), has_unread: true, ..consumed() };
        assert_eq!(run_end(facts), "stopped");
    }

    #[test]
    fn a_stop_after_the_last_record_is_complete() {
        assert_eq!(run_end(EndFacts { stopped: with_causes(), ..consumed() }), "complete");
    }

    #[test]
    fn a_broken_input_wins_over_draining() {
        let facts = EndFacts { input_failure: error(), is_drained: true, has_unread: true, ..EndFacts::default() };
        assert_eq!(run_end(facts), "input_failed");
    }

    #[test]
    fn draining_with_unread_records_is_drained() {
        assert_eq!(run_end(EndFacts { is_drained: true, has_unread: true, ..EndFacts::default() }), "drained");
    }

    #[test]
    fn draining_with_missing_outcomes_is_drained() {
        assert_eq!(run_end(EndFacts { is_drained: true, is_cut: true, ..EndFacts::default() }), "drained");
    }

    #[test]
    fn an_abort_while_the_rest_is_counted_is_drained() {
        assert_eq!(run_end(EndFacts { is_drained: true, is_aborted: true, ..EndFacts::default() }), "drained");
    }

    #[test]
    fn draining_because_of_a_failed_record_is_failed() {
        let facts = EndFacts { is_drained: true, has_unread: true, stopped_by: error(), ..EndFacts::default() };
        assert_eq!(run_end(facts), "failed");
    }

    #[test]
    fn draining_after_the_last_record_is_complete() {
        assert_eq!(run_end(EndFacts { is_drained: true, stopped_by: error(), ..EndFacts::default() }), "complete");
    }

    #[test]
    fn missing_outcomes_without_draining_are_aborted() {
        assert_eq!(run_end(EndFacts { is_cut: true, ..consumed() }), "aborted");
    }

    #[test]
    fn an_input_that_is_not_consumed_is_aborted() {
        assert_eq!(run_end(EndFacts::default()), "aborted");
    }
}
