//! Processes one record: from its line to its journaled outcome.

use std::sync::Arc;
use std::time::Duration;

use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Error, Outcome, Rate, Result, Step, step};
use llmspell_flow::internal::{Compiled, Memo, Recorded};
use serde_json::Value;
use tokio::time::Instant;

use crate::input::{InputLine, InputTracker, parse};
use crate::journal::{
    FinishedRecord, JournalWriter, Match, RecordId, RecordResult, ResultMeta, RetryRecord, Status, StepCache, keys_of,
};
use crate::progress::Progress;

/// The result of a record, as far as its line needs it.
pub(super) enum Processed {
    /// The record has a result; the outcome around it has the rest.
    Finished {
        /// The output as JSON. An error is here only if it comes from an earlier session, which must not stop the run.
        result: Result<Arc<str>>,
        took: Option<Duration>,
        replayed: bool,
    },
    /// The result could not be journaled, so the record has no line: it runs again when the run is resumed.
    NotJournaled,
}

/// The journal as the processor of records uses it.
#[derive(Clone)]
pub(super) struct JournalHandle {
    pub(super) writer: JournalWriter,
    /// The declared field that is the key of a record.
    pub(super) field: Option<Arc<str>>,
    /// Whether an outcome must be on disk before its line is written. Not needed if repeating the whole flow costs
    /// nothing.
    pub(super) durable: bool,
}

/// The flow as a step over input lines.
pub(super) struct RecordProcessor {
    flow: Arc<BoxStep<Recorded, Value>>,
    flow_with_outcome: BoxStep<Recorded, Outcome<Value>>,
    progress: Arc<Progress>,
    tracker: Arc<InputTracker>,
    journal: Option<JournalHandle>,
    /// Does nothing, at the rate of the run.
    rate_limiter: Option<BoxStep<(), ()>>,
}

impl Step for RecordProcessor {
    type In = InputLine;
    type Out = Processed;

    async fn run(&self, mut line: InputLine, cx: &Context) -> Result<Processed> {
        let matched = std::mem::take(&mut line.matched);
        if let Match::Finished(finished) = matched {
            return restore(*finished, cx);
        }
        if let Some(rate_limiter) = &self.rate_limiter {
            rate_limiter.run((), cx).await?;
        }
        let _in_flight = self.progress.enter();
        let began = Instant::now();
        if let Some(journal) = &self.journal {
            return self.run_journaled(line, matched, journal, began, cx).await;
        }
        let record = decode(parse(&line), &line, cx).await;
        let output = self.flow.run((record, None), cx).await;
        let took = began.elapsed();
        match output {
            Ok(output) => Ok(Processed::new(to_json(&output), took)),
            Err(error) => Err(self.timed(error, took, cx)),
        }
    }

    fn info(&self) -> StepInfo<'_> {
        self.flow.info()
    }
}

impl RecordProcessor {
    pub(super) fn new(
        flow: Compiled,
        progress: Arc<Progress>,
        tracker: Arc<InputTracker>,
        journal: Option<JournalHandle>,
        rate: Option<Rate>,
    ) -> Self {
        let flow = Arc::new(flow.into_recorded_step());
        RecordProcessor {
            flow_with_outcome: flow.clone().with_outcome().boxed(),
            flow,
            progress,
            tracker,
            journal,
            rate_limiter: rate.map(|rate| step(|(), _| async { Ok(()) }).rate(rate).boxed()),
        }
    }

    /// Runs the flow over a record, and journals its outcome.
    async fn run_journaled(
        &self,
        line: InputLine,
        matched: Match,
        journal: &JournalHandle,
        began: Instant,
        cx: &Context,
    ) -> Result<Processed> {
        let parsed = parse(&line);
        let (record_id, prior_results) = match matched {
            Match::New(id) => {
                let keys = keys_of(line.text.as_deref(), parsed.as_ref().ok(), journal.field.as_deref());
                (Arc::new(RecordId { id, key: keys.key, content: keys.content, line: line.number }), None)
            }
            Match::Retry(RetryRecord { record, prior_results, is_other_record }) => {
                if is_other_record && journal.writer.forget(record.id).await.is_err() {
                    return Ok(Processed::NotJournaled);
                }
                (record, prior_results)
            }
            Match::NoJournal | Match::Finished(_) => return Ok(Processed::NotJournaled),
        };
        let cache: Arc<dyn Memo> = Arc::new(StepCache::new(record_id.clone(), journal.writer.clone(), prior_results));
        let record = decode(parsed, &line, cx).await;
        let outcome = self.flow_with_outcome.run((record, Some(cache)), cx).await?;
        let Outcome { result, quality, causes, provenance, .. } = outcome;
        let meta = ResultMeta { quality, causes, provenance };
        let meta_json = meta.to_json().map(Arc::from);
        let took = began.elapsed();
        let took_ms = Some(took.as_micros() as f64 / 1e3);
        let (result, row) = match result {
            Ok(output) => {
                let output = to_json(&output);
                let row = RecordResult {
                    status: Status::Ok,
                    output: Some(output.clone()),
                    error: None,
                    meta: meta_json,
                    took_ms,
                };
                (Ok(output), row)
            }
            Err(error) => {
                let status = if cx.is_cancelled() { Status::Interrupted } else { Status::Failed };
                let text = serde_json::to_string(&error).unwrap_or_default();
                (Err(error), RecordResult { status, output: None, error: Some(text), meta: meta_json, took_ms })
            }
        };
        // The writer's thread reports the failure of a journal; here it only means that nothing is certain.
        if journal.writer.failure().is_some()
            || journal.writer.write_record(&record_id, row, journal.durable).await.is_err()
        {
            return Ok(Processed::NotJournaled);
        }
        let ResultMeta { quality, causes, provenance } = meta;
        match cx.merge_outcome(Outcome::restored(result, quality, causes, provenance)) {
            Ok(output) => Ok(Processed::new(output, took)),
            Err(error) => Err(self.timed(error, took, cx)),
        }
    }

    /// Records how long a failed record took, because its error does not say so.
    fn timed(&self, error: Error, took: Duration, cx: &Context) -> Error {
        if let Some(index) = cx.item() {
            self.tracker.took(index, took);
        }
        error
    }
}

async fn decode(parsed: Result<Value>, line: &InputLine, cx: &Context) -> Result<Value> {
    line.decoder.decode(parsed?, cx).await
}

/// Restores the outcome of a record from the journal.
fn restore(finished: FinishedRecord, cx: &Context) -> Result<Processed> {
    let ResultMeta { quality, causes, provenance } =
        ResultMeta::from_json(finished.meta.as_deref()).unwrap_or_default();
    let result = match finished.error() {
        Some(error) => Err(error),
        None => Ok(finished.output.unwrap_or_default().into()),
    };
    let took = finished.took_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    cx.restore_outcome(Outcome::restored(Ok(()), quality, causes, provenance))?;
    Ok(Processed::Finished { result, took, replayed: true })
}

impl Processed {
    fn new(output: Arc<str>, took: Duration) -> Self {
        Processed::Finished { result: Ok(output), took: Some(took), replayed: false }
    }
}

/// Maps have text for keys and numbers are finite, so there is always JSON.
fn to_json(value: &Value) -> Arc<str> {
    serde_json::to_string(value).unwrap_or_default().into()
}
