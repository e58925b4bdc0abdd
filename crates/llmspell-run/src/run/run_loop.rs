//! The loop of a run: outcomes come, are counted, and become lines.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use llmspell::observe::Quality;
use llmspell::pattern::stream::Streaming;
use llmspell::{Error, Outcome};
use tokio::sync::watch;
use tokio::time::Instant;

use super::processor::{Processed, RecordProcessor};
use super::remaining::RemainingInput;
use super::run_end::Stop;
use super::session::JournalCloser;
use crate::input::InputTracker;
use crate::output::{OnError, OutcomeLine, WriteEnd, Writers};
use crate::progress::Progress;
use crate::report::Failures;

/// A run in progress.
pub(super) struct RunLoop {
    pub(super) stream: Streaming<RecordProcessor>,
    pub(super) writers: Writers,
    pub(super) state: LoopState,
    stop: watch::Sender<Stop>,
}

/// The state that the loop collects for the end of the run.
pub(super) struct LoopState {
    pub(super) remaining: RemainingInput,
    pub(super) tracker: Arc<InputTracker>,
    pub(super) progress: Arc<Progress>,
    pub(super) failures: Failures,
    pub(super) journal: Option<JournalCloser>,
    /// The failure that stopped the run.
    pub(super) stopped_by: Option<Error>,
    /// The number of records without a line because their outcomes could not be journaled.
    pub(super) not_journaled: u64,
}

/// The reason why there are no more outcomes to write.
pub(super) enum LoopEnd {
    /// The stream came to its end.
    Stream,
    Aborted,
    /// The writer ended by itself.
    Writer(WriteEnd),
}

impl RunLoop {
    pub(super) fn new(
        stream: Streaming<RecordProcessor>,
        remaining: RemainingInput,
        writers: Writers,
        tracker: Arc<InputTracker>,
        progress: Arc<Progress>,
        journal: Option<JournalCloser>,
        stop: watch::Sender<Stop>,
    ) -> Self {
        let failures = Failures::default();
        let state = LoopState { remaining, tracker, progress, failures, journal, stopped_by: None, not_journaled: 0 };
        RunLoop { stream, writers, state, stop }
    }

    /// Writes outcomes until there are no more.
    pub(super) async fn drive(&mut self) -> LoopEnd {
        loop {
            let outcome = tokio::select! {
                biased;
                ended = self.writers.ended() => return LoopEnd::Writer(ended),
                outcome = self.stream.next() => outcome,
            };
            let Some(outcome) = outcome else { return LoopEnd::Stream };
            let Some((line, has_failed)) = self.line(outcome) else { continue };
            let since = Instant::now();
            let written = self.writers.write(line, has_failed).await;
            self.state.progress.waited_for_output(since.elapsed());
            if let Err(ended) = written {
                return LoopEnd::Writer(ended);
            }
        }
    }

    /// Counts an outcome; returns its line and whether the record failed. `None` if the record runs again in a later
    /// session.
    fn line(&mut self, outcome: Outcome<Processed>) -> Option<(Vec<u8>, bool)> {
        let info = self.state.tracker.line(outcome.index);
        let (result, took, replayed) = match outcome.result {
            Ok(Processed::Finished { result, took, replayed }) => (result, took, replayed),
            Ok(Processed::NotJournaled) => {
                self.state.not_journaled += 1;
                return None;
            }
            Err(error) => (Err(error), info.took, false),
        };
        let line = OutcomeLine {
            index: outcome.index,
            line: info.number,
            result,
            quality: outcome.quality,
            causes: outcome.causes,
            provenance: outcome.provenance,
            took,
        };
        let progress = &self.state.progress;
        progress.bytes_done.fetch_max(info.end, Ordering::Relaxed);
        progress.replayed.fetch_add(u64::from(replayed), Ordering::Relaxed);
        match &line.result {
            Ok(_) => {
                progress.degraded.fetch_add(u64::from(line.quality != Quality::Full), Ordering::Relaxed);
                progress.ok.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                self.state.failures.add(line.line, error);
                if self.writers.on_error == OnError::Stop && !replayed && self.state.stopped_by.is_none() {
                    self.state.stopped_by = Some(error.clone());
                    self.stop.send_modify(|now| *now = Stop::Drain.max(*now));
                }
            }
        }
        Some((line.bytes(), line.result.is_err()))
    }
}
