//! Cassettes: recordings of a model's replies, and their replay.
//!
//! Owns the mode and the comparison of requests. The file format is in [`tape`].

mod difference;
mod index;
mod recorder;
mod tape;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use llmspell::model::{Model, ModelStream, Request};
use llmspell::{Context, Error, Result};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use index::Index;
use recorder::Recorder;
use tape::{Interaction, Tape, Writer};

/// The variable that overrides [`Cassette::auto`].
const VARIABLE: &str = "LLMSPELL_CASSETTE";

/// A model that records another model, or replays a recording.
///
/// Code that calls a model can so be tested without a network, without a key, and with the same replies every time.
///
/// A cassette is a file of JSON lines, one for each request, to be kept under version control with the tests. Requests
/// are compared by messages, tools and options. A repeated request replays its next recording. A request without a
/// recording is an error that lists the differences to the nearest one.
///
/// Errors are recorded like replies, with class, status and `Retry-After`. The replay of a stream that was dropped before
/// its end stops at the same point, and then never ends.
///
/// A file belongs to one model. Keys are not part of requests, but secrets in a prompt are in the file.
///
/// ```
/// use llmspell::model::{Model, Request};
/// use llmspell::{Context, Step};
/// use llmspell_test::{Cassette, ScriptedModel};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("capital.jsonl");
/// let real = ScriptedModel::new("openai/gpt-5-mini").says("Paris.");
/// let recording = Cassette::record(real, &path)?.step();
/// recording.run(Request::new("The capital of France?"), &Context::new()).await?;
///
/// let playing = Cassette::replay(&path)?.step();
/// let reply = playing.run(Request::new("The capital of France?"), &Context::new()).await?;
/// assert_eq!(reply.text, "Paris.");
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cassette {
    name: Arc<str>,
    mode: CassetteMode,
    matching: Option<Arc<RequestMatching>>,
    is_paced: bool,
}

/// The change of requests before they are compared.
struct RequestMatching {
    change: Box<dyn Fn(&mut Value) + Send + Sync>,
    /// The index of the tape with changed requests; built once.
    index: OnceLock<Index>,
}

#[derive(Clone)]
enum CassetteMode {
    Record { model: Arc<dyn Model>, writer: Arc<Writer> },
    Replay { path: Arc<PathBuf>, tape: Arc<Tape> },
    Off(Arc<dyn Model>),
}

impl Cassette {
    /// Creates a cassette that records the replies of `model`. An existing file is replaced. Each request is written as
    /// a whole when its stream ends or is dropped.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record(model: impl Model, path: impl AsRef<Path>) -> Result<Self> {
        let model: Arc<dyn Model> = Arc::new(model);
        let writer = Arc::new(Writer::create(path.as_ref(), model.name())?);
        Ok(Cassette::of(model.name().into(), CassetteMode::Record { model, writer }))
    }

    /// Creates a cassette that replays a file, under the name of the recorded model.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a cassette. An incomplete last line, as an interrupted recording leaves, is
    /// ignored.
    pub fn replay(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (name, tape) = Tape::read(path)?;
        let mode = CassetteMode::Replay { path: Arc::new(path.to_owned()), tape: Arc::new(tape) };
        Ok(Cassette::of(name.into(), mode))
    }

    /// Creates a cassette that replays the file if it exists, and records it otherwise. The model is created only for
    /// recording, so a replay needs no key.
    ///
    /// The environment variable `LLMSPELL_CASSETTE` overrides this: `record` records again, `replay` never calls the
    /// model, `off` calls it without recording.
    ///
    /// ```no_run
    /// use llmspell_test::Cassette;
    ///
    /// let model = Cassette::auto(|| llmspell_models::model("openai/gpt-5-mini"), "tests/capital.jsonl")?;
    /// # Ok::<(), llmspell::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Cassette::record`], [`Cassette::replay`] and `model`.
    pub fn auto<M: Model>(model: impl FnOnce() -> Result<M>, path: impl AsRef<Path>) -> Result<Self> {
        Cassette::with_mode(std::env::var(VARIABLE).ok().as_deref(), model, path.as_ref())
    }

    fn with_mode<M: Model>(mode_name: Option<&str>, model: impl FnOnce() -> Result<M>, path: &Path) -> Result<Self> {
        match mode_name.unwrap_or_default() {
            "" if path.exists() => Cassette::replay(path),
            "" | "record" => Cassette::record(model()?, path),
            "replay" => Cassette::replay(path),
            "off" => {
                let model: Arc<dyn Model> = Arc::new(model()?);
                Ok(Cassette::of(model.name().into(), CassetteMode::Off(model)))
            }
            other => Err(Error::invalid(format!("invalid value `{other}` of {VARIABLE}")).with_hint(
                "set it to record, replay or off; without it, existing files are replayed and others recorded",
            )),
        }
    }

    fn of(name: Arc<str>, mode: CassetteMode) -> Self {
        Cassette { name, mode, matching: None, is_paced: false }
    }

    /// Replays events at the times of the recording. By default they arrive immediately.
    pub fn paced(mut self) -> Self {
        self.is_paced = true;
        self
    }

    /// Changes requests, in their JSON form, before they are compared. Use it to remove parts that differ each time, such
    /// as the date in a system prompt. Requests in the file are changed once, and stay as recorded there.
    ///
    /// ```
    /// # use llmspell_test::Cassette;
    /// # fn example(cassette: Cassette) -> Cassette {
    /// cassette.matching(|request| request["messages"][0]["text"] = "".into())
    /// # }
    /// ```
    pub fn matching(mut self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.matching = Some(Arc::new(RequestMatching { change: Box::new(change), index: OnceLock::new() }));
        self
    }

    /// Returns whether the cassette replays a file.
    pub fn is_replay(&self) -> bool {
        matches!(self.mode, CassetteMode::Replay { .. })
    }

    /// Returns the number of recordings that have not been replayed; 0 if this is not a replay.
    pub fn left(&self) -> usize {
        match &self.mode {
            CassetteMode::Replay { tape, .. } => tape.left(),
            CassetteMode::Record { .. } | CassetteMode::Off(_) => 0,
        }
    }
}

impl fmt::Debug for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            CassetteMode::Record { .. } => "record",
            CassetteMode::Replay { .. } => "replay",
            CassetteMode::Off(_) => "off",
        };
        f.debug_struct("Cassette").field("name", &self.name).field("mode", &mode).finish_non_exhaustive()
    }
}

impl Model for Cassette {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, request: Request, cx: &Context) -> ModelStream {
        match &self.mode {
            CassetteMode::Off(model) => model.stream(request, cx),
            CassetteMode::Record { model, writer } => {
                let request_json = as_json(&request);
                ModelStream::new(Recorder::new(model.stream(request, cx), request_json, writer.clone()))
            }
            CassetteMode::Replay { path, tape } => {
                let (path, tape, matching, is_paced) =
                    (path.clone(), tape.clone(), self.matching.clone(), self.is_paced);
                ModelStream::produce(async move |events| {
                    let mut request_json = as_json(&request);
                    let index = match matching.as_deref() {
                        Some(RequestMatching { change, index }) => {
                            change(&mut request_json);
                            index.get_or_init(|| tape.index().changed(change))
                        }
                        None => tape.index(),
                    };
                    let found = tape.find(&request_json, index, &path)?;
                    play(&found, is_paced, &events).await
                })
            }
        }
    }
}

/// Returns the request in JSON as it is after a round trip through a file, so that numbers compare equal.
fn as_json(request: &Request) -> Value {
    let text = serde_json::to_string(request).unwrap_or_default();
    let mut request_json: Value = serde_json::from_str(&text).unwrap_or_default();
    for tool in request_json.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        // The model does not receive the rest of a tool's spec, so changes there must not matter.
        if let Some(spec) = tool.as_object_mut() {
            spec.retain(|field, _| matches!(field.as_str(), "name" | "description" | "parameters"));
        }
    }
    request_json
}

async fn play(interaction: &Interaction, is_paced: bool, events: &llmspell::model::EventSender) -> Result<()> {
    let start = Instant::now();
    let pause = async |after: f64| {
        if is_paced && let Ok(after) = std::time::Duration::try_from_secs_f64(after / 1e3) {
            sleep_until(start + after).await;
        }
    };
    for (after, event) in &interaction.events {
        pause(*after).await;
        events.send(event.clone()).await?;
    }
    pause(interaction.ended_after).await;
    match &interaction.error {
        Some(error) => Err(error.restored()),
        None if interaction.is_dropped => std::future::pending().await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScriptedModel;

    #[test]
    fn variable_selects_the_mode_and_replay_creates_no_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.jsonl");
        let model = || Ok(ScriptedModel::new("test/it"));
        let no_model = || -> Result<ScriptedModel> { panic!("there is no key") };
        assert!(Cassette::with_mode(Some("replay"), no_model, &path).is_err(), "there is no file yet");
        assert!(!Cassette::with_mode(Some("off"), model, &path).unwrap().is_replay());
        assert!(!path.exists());
        assert!(!Cassette::with_mode(None, model, &path).unwrap().is_replay());
        assert!(Cassette::with_mode(None, no_model, &path).unwrap().is_replay());
        assert!(Cassette::with_mode(Some(""), no_model, &path).unwrap().is_replay());
        assert!(!Cassette::with_mode(Some("record"), model, &path).unwrap().is_replay());
        let error = Cassette::with_mode(Some("rewind"), no_model, &path).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("replay")), "{error:?}");
    }
}
