//! One record on its way: from its line to what came of it, written down.

use std::sync::Arc;
use std::time::Duration;

use llmspell::{BoxStep, Context, Error, Outcome, Rate, Result, Step, StepInfo, step};
use llmspell_flow::internal::{Compiled, Memo, Recorded};
use serde_json::Value;
use tokio::time::Instant;

use crate::input::{Intake, Line, parse};
use crate::journal::{Admission, Delivered, Entry, Finished, Memory, Pen, Rerun, Status, Story, keys_of};
use crate::progress::Progress;

/// What came of a record, as far as its line needs it.
pub(super) enum Done {
    /// This; the rest is told by the outcome around it.
    Told {
        /// The output as JSON. An error stands here only if it is of an earlier session: it is no reason to stop.
        result: Result<Arc<str>>,
        took: Option<Duration>,
        replayed: bool,
    },
    /// It could not be written down, so it has no line: it is done again when the run is resumed.
    Unkept,
}

/// What records are written down with.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) pen: Pen,
    pub(super) field: Option<Arc<str>>,
    /// Whether outcomes have to be on the disk before anybody hears of them. They need not if all of the flow can be
    /// repeated at no cost.
    pub(super) surely: bool,
}

/// The flow over lines.
pub(super) struct Passage {
    way: Arc<BoxStep<Recorded, Value>>,
    observed: BoxStep<Recorded, Outcome<Value>>,
    progress: Arc<Progress>,
    intake: Arc<Intake>,
    desk: Option<Desk>,
    /// Does nothing, at the pace of the run.
    pace: Option<BoxStep<(), ()>>,
}

impl Step for Passage {
    type In = Line;
    type Out = Done;

    async fn run(&self, mut line: Line, cx: &Context) -> Result<Done> {
        let admission = std::mem::take(&mut line.admission);
        if let Admission::Done(delivered) = admission {
            return deliver(*delivered, cx);
        }
        if let Some(pace) = &self.pace {
            pace.run((), cx).await?;
        }
        let _in_flight = self.progress.enter();
        let began = Instant::now();
        if let Some(desk) = &self.desk {
            return self.write_down(line, admission, desk, began, cx).await;
        }
        let record = formed(parse(&line), &line, cx).await;
        let output = self.way.run((record, None), cx).await;
        let took = began.elapsed();
        match output {
            Ok(output) => Ok(Done::told(json(&output), took)),
            Err(error) => Err(self.timed(error, took, cx)),
        }
    }

    fn info(&self) -> StepInfo<'_> {
        self.way.info()
    }
}

impl Passage {
    pub(super) fn new(
        flow: Compiled,
        progress: Arc<Progress>,
        intake: Arc<Intake>,
        desk: Option<Desk>,
        rate: Option<Rate>,
    ) -> Self {
        let way = Arc::new(flow.into_recorded_step());
        Passage {
            observed: way.clone().with_outcome().boxed(),
            way,
            progress,
            intake,
            desk,
            pace: rate.map(|rate| step(|(), _| async { Ok(()) }).rate(rate).boxed()),
        }
    }

    /// Sends a record through the flow, and writes down what comes of it.
    async fn write_down(
        &self,
        line: Line,
        admission: Admission,
        desk: &Desk,
        began: Instant,
        cx: &Context,
    ) -> Result<Done> {
        let parsed = parse(&line);
        let (entry, past) = match admission {
            Admission::New(id) => {
                let keys = keys_of(line.text.as_deref(), parsed.as_ref().ok(), desk.field.as_deref());
                (Arc::new(Entry { id, key: keys.key, content: keys.content, line: line.number }), None)
            }
            Admission::Again(Rerun { entry, past, is_another }) => {
                if is_another && desk.pen.forget(entry.id).await.is_err() {
                    return Ok(Done::Unkept);
                }
                (entry, past)
            }
            Admission::None | Admission::Done(_) => return Ok(Done::Unkept),
        };
        let memory: Arc<dyn Memo> = Arc::new(Memory::new(entry.clone(), desk.pen.clone(), past));
        let record = formed(parsed, &line, cx).await;
        let outcome = self.observed.run((record, Some(memory)), cx).await?;
        let Outcome { result, quality, causes, provenance, .. } = outcome;
        let story = Story { quality, causes, provenance };
        let written = story.written().map(Arc::from);
        let Story { quality, causes, provenance } = story;
        let took = began.elapsed();
        let took_ms = Some(took.as_micros() as f64 / 1e3);
        let (result, finished) = match result {
            Ok(output) => {
                let output: Arc<str> = json(&output);
                let kept = Some(output.clone());
                (Ok(output), Finished { status: Status::Ok, output: kept, error: None, story: written, took_ms })
            }
            Err(error) => {
                let status = if cx.is_cancelled() { Status::Interrupted } else { Status::Failed };
                let text = serde_json::to_string(&error).unwrap_or_default();
                (Err(error), Finished { status, output: None, error: Some(text), story: written, took_ms })
            }
        };
        // Whatever went wrong with the journal is told by its thread; here it only means that nothing is certain.
        if desk.pen.failure().is_some() || desk.pen.record(&entry, finished, desk.surely).await.is_err() {
            return Ok(Done::Unkept);
        }
        match cx.merge_outcome(Outcome::restored(result, quality, causes, provenance)) {
            Ok(output) => Ok(Done::told(output, took)),
            Err(error) => Err(self.timed(error, took, cx)),
        }
    }

    /// Notes how long a record took that has failed, for an error does not tell.
    fn timed(&self, error: Error, took: Duration, cx: &Context) -> Error {
        if let Some(index) = cx.item() {
            self.intake.took(index, took);
        }
        error
    }
}

/// The record that is made of what was read.
async fn formed(parsed: Result<Value>, line: &Line, cx: &Context) -> Result<Value> {
    line.form.record(parsed?, cx).await
}

/// What is known of a record already.
fn deliver(delivered: Delivered, cx: &Context) -> Result<Done> {
    let Story { quality, causes, provenance } = Story::read(delivered.story.as_deref()).unwrap_or_default();
    let result = match delivered.error() {
        Some(error) => Err(error),
        None => Ok(delivered.output.unwrap_or_default().into()),
    };
    let took = delivered.took_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    cx.restore_outcome(Outcome::restored(Ok(()), quality, causes, provenance))?;
    Ok(Done::Told { result, took, replayed: true })
}

impl Done {
    fn told(output: Arc<str>, took: Duration) -> Self {
        Done::Told { result: Ok(output), took: Some(took), replayed: false }
    }
}

/// Maps have text for keys and numbers are finite, so there is always JSON.
fn json(value: &Value) -> Arc<str> {
    serde_json::to_string(value).unwrap_or_default().into()
}
