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
use super::rest::Rest;
use super::writer::{Ended, Writer};
use super::{Ending, Stop, Summary, reached};

/// How long an aborted run waits for lines to reach the output.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the rest of the input is counted; a pipe may go on for ever.
const COUNTING: Duration = Duration::from_secs(2);

/// The same if somebody waits for the run to end.
const IN_A_HURRY: Duration = Duration::from_millis(200);

/// The flow over lines.
pub(super) fn of_lines(
    flow: BoxStep<Value, Value>,
    progress: Arc<Progress>,
    intake: Arc<Intake>,
) -> BoxStep<Line, Value> {
    let parsed = step(move |line: Line, cx: Context| {
        let flow = flow.clone();
        async move { flow.run(records::parse(&line)?, &cx).await }
    });
    let parsed = Arc::new(parsed);
    let timed = step(move |line: Line, cx: Context| {
        let (parsed, intake, in_flight) = (parsed.clone(), intake.clone(), progress.enter());
        async move {
            let _in_flight = in_flight;
            let began = Instant::now();
            let result = parsed.run(line, &cx).await;
            if let Some(index) = cx.item() {
                intake.took(index, began.elapsed());
            }
            result
        }
    });
    timed.boxed()
}

/// A run on its way.
pub(super) struct Course {
    stream: Streaming<BoxStep<Line, Value>>,
    rest: Rest,
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
        stream: Streaming<BoxStep<Line, Value>>,
        rest: Rest,
        writer: Writer,
        intake: Arc<Intake>,
        progress: Arc<Progress>,
    ) -> Self {
        Course { stream, rest, writer, intake, progress, degraded: 0, failures: Failures::default() }
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
    fn line(&mut self, outcome: Outcome<Value>) -> Vec<u8> {
        let taken = self.intake.line(outcome.index);
        let line = OutcomeLine {
            index: outcome.index,
            line: taken.number,
            result: outcome.result,
            quality: outcome.quality,
            causes: outcome.causes,
            retries: outcome.provenance.retries,
            took: taken.took,
        };
        self.progress.bytes_done.fetch_max(taken.end, Ordering::Relaxed);
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
        let (ending, ended) = match end {
            End::Writer(ended) => (Ending::Complete, Some(ended)),
            End::Aborted => (Ending::Aborted, timeout(LAST_LINES, self.writer.finish(false)).await.ok()),
            End::Stream => {
                let ending = match (self.intake.failure(), stopped) {
                    // Unless the last record had just been taken.
                    (_, Some(why)) if not_admitted.is_some() => Ending::Stopped(why),
                    (Some(error), _) => Ending::InputFailed(error.clone()),
                    _ if *stop.borrow() >= Stop::Drain => Ending::Drained,
                    _ => Ending::Complete,
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
            not_admitted,
            took: began.elapsed(),
            written,
        }
    }
}
