//! A run on its way: outcomes come, are counted, and become lines.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::{BoxStep, Context, Outcome, Quality, Step, Streaming, step};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::failures::Failures;
use super::lines::Line;
use super::outcome_line::OutcomeLine;
use super::progress::Progress;
use super::records::{self, Intake};
use super::writer::{Ended, Writer};
use super::{Ending, Stop, Summary, reached};

/// How long an aborted run waits for lines to reach the output.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a record's task gives: it never fails, so that the time is known also of records that do.
pub(super) struct Ran {
    outcome: Outcome<Value>,
    took: Duration,
}

/// The flow over lines.
pub(super) fn of_lines(flow: BoxStep<Value, Value>, progress: Arc<Progress>) -> BoxStep<Line, Ran> {
    let parsed = step(move |line: Line, cx: Context| {
        let flow = flow.clone();
        async move { flow.run(records::parse(&line)?, &cx).await }
    });
    let observed = Arc::new(parsed.observed());
    let timed = step(move |line: Line, cx: Context| {
        let (observed, in_flight) = (observed.clone(), progress.enter());
        async move {
            let _in_flight = in_flight;
            let began = Instant::now();
            let outcome = observed.run(line, &cx).await?;
            Ok(Ran { outcome, took: began.elapsed() })
        }
    });
    timed.boxed()
}

/// A run on its way.
pub(super) struct Course {
    stream: Streaming<BoxStep<Line, Ran>>,
    writer: Writer,
    intake: Arc<Intake>,
    progress: Arc<Progress>,
    degraded: u64,
    failures: Failures,
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
        stream: Streaming<BoxStep<Line, Ran>>,
        writer: Writer,
        intake: Arc<Intake>,
        progress: Arc<Progress>,
    ) -> Self {
        Course { stream, writer, intake, progress, degraded: 0, failures: Failures::default() }
    }

    /// Writes outcomes until there are no more.
    pub(super) async fn follow(&mut self) -> End {
        loop {
            let outcome = tokio::select! {
                biased;
                ended = self.writer.ended() => return End::Writer(ended),
                outcome = self.stream.next() => outcome,
            };
            let Some(outcome) = outcome else { return End::Stream };
            let line = self.line(outcome);
            if let Err(ended) = self.writer.write(line).await {
                return End::Writer(ended);
            }
        }
    }

    /// Counts an outcome and makes its line.
    fn line(&mut self, ran: Outcome<Ran>) -> Vec<u8> {
        let (line, end) = self.intake.line(ran.index);
        let line = match ran.result {
            Ok(Ran { outcome, took }) => OutcomeLine {
                index: ran.index,
                line,
                result: outcome.result,
                quality: outcome.quality,
                causes: outcome.causes,
                retries: outcome.provenance.retries,
                took: Some(took),
            },
            // The record's task was lost, to a panic for example.
            Err(error) => OutcomeLine {
                index: ran.index,
                line,
                result: Err(error),
                quality: ran.quality,
                causes: ran.causes,
                retries: ran.provenance.retries,
                took: None,
            },
        };
        self.progress.bytes_done.fetch_max(end, Ordering::Relaxed);
        match &line.result {
            Ok(_) => {
                self.degraded += u64::from(line.quality != Quality::Full);
                self.progress.ok.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failures.add(line.line, error);
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Maps have text for keys and numbers are finite, so there is always JSON.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Stops what is left, and closes the output.
    pub(super) async fn finish(self, end: End, stop: &mut watch::Receiver<Stop>, began: Instant) -> Summary {
        self.stream.stop().await;
        let (ending, ended) = match end {
            End::Writer(ended) => (Ending::Complete, Some(ended)),
            End::Aborted => (Ending::Aborted, timeout(LAST_LINES, self.writer.finish(false)).await.ok()),
            End::Stream => {
                let ending = match self.intake.failure() {
                    Some(error) => Ending::InputFailed(error.clone()),
                    None if *stop.borrow() >= Stop::Drain => Ending::Drained,
                    None => Ending::Complete,
                };
                let complete = matches!(ending, Ending::Complete);
                tokio::select! {
                    ended = self.writer.finish(complete) => (ending, Some(ended)),
                    // Whoever reads the output has fallen asleep.
                    () = reached(stop, Stop::Abort) => (Ending::Aborted, None),
                }
            }
        };
        let (ending, written) = match ended {
            Some(Ended::Written(written)) => (ending, Some(written)),
            Some(Ended::NobodyReads) => (Ending::NobodyReads, None),
            Some(Ended::Failed(error, left)) => (Ending::OutputFailed(error), left),
            None => (ending, None),
        };
        let counted = self.progress.snapshot();
        Summary {
            ending,
            ok: counted.ok,
            degraded: self.degraded,
            failed: counted.failed,
            failures: self.failures,
            took: began.elapsed(),
            written,
        }
    }
}
