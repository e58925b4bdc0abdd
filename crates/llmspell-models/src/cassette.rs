//! Recording what a model says, and playing it back.

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

/// A model that records another one, or plays back what was recorded, so that whatever asks a model can be tested
/// without a network, without a key, and with the same answers every time.
///
/// A cassette is a file of JSON lines, one for each request, to be read, compared and kept with the tests. A request is
/// known by what is asked (messages, tools and options); the same one asked again plays the next recording of it.
/// Errors are recorded like replies: class, status and `Retry-After`. A stream that was dropped before its end plays up
/// to there, and then never ends. What a cassette does not know is an error that says what the nearest recording has
/// different.
///
/// One file is for one model. Keys are not part of requests; what else is secret in a prompt is in the file, too.
///
/// ```
/// use llmspell::model::{Model, Request, ScriptedModel};
/// use llmspell::{Context, Step};
/// use llmspell_models::Cassette;
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
    mode: Mode,
    matching: Option<Arc<Matching>>,
    is_paced: bool,
}

/// How requests are changed before they are compared.
struct Matching {
    change: Box<dyn Fn(&mut Value) + Send + Sync>,
    /// Those of the tape, changed once.
    index: OnceLock<Index>,
}

#[derive(Clone)]
enum Mode {
    Record { model: Arc<dyn Model>, writer: Arc<Writer> },
    Replay { path: Arc<PathBuf>, tape: Arc<Tape> },
    Off(Arc<dyn Model>),
}

impl Cassette {
    /// Records everything that `model` says. An existing file is replaced. Each request is written, whole, when its
    /// stream ends or is dropped.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record(model: impl Model, path: impl AsRef<Path>) -> Result<Self> {
        let model: Arc<dyn Model> = Arc::new(model);
        let writer = Arc::new(Writer::create(path.as_ref(), model.name())?);
        Ok(Cassette::of(model.name().into(), Mode::Record { model, writer }))
    }

    /// Plays back what was recorded, under the name of the model that was.
    ///
    /// # Errors
    /// If the file cannot be read, or is no cassette. A last line that breaks off, as a recording does that was killed,
    /// is left out.
    pub fn replay(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (name, tape) = Tape::read(path)?;
        let mode = Mode::Replay { path: Arc::new(path.to_owned()), tape: Arc::new(tape) };
        Ok(Cassette::of(name.into(), mode))
    }

    /// Plays the file back if there is one, and records it otherwise; only then is the model made, so that playing back
    /// needs no key. `LLMSPELL_CASSETTE` says otherwise: `record` records anew, `replay` never asks the model, `off`
    /// asks it without recording.
    ///
    /// ```no_run
    /// use llmspell_models::Cassette;
    ///
    /// let model = Cassette::auto(|| llmspell_models::model("openai/gpt-5-mini"), "tests/capital.jsonl")?;
    /// # Ok::<(), llmspell::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Cassette::record`], [`Cassette::replay`] and of making the model.
    pub fn auto<M: Model>(model: impl FnOnce() -> Result<M>, path: impl AsRef<Path>) -> Result<Self> {
        Cassette::as_told(std::env::var(VARIABLE).ok().as_deref(), model, path.as_ref())
    }

    fn as_told<M: Model>(told: Option<&str>, model: impl FnOnce() -> Result<M>, path: &Path) -> Result<Self> {
        match told.unwrap_or_default() {
            "" if path.exists() => Cassette::replay(path),
            "" | "record" => Cassette::record(model()?, path),
            "replay" => Cassette::replay(path),
            "off" => {
                let model: Arc<dyn Model> = Arc::new(model()?);
                Ok(Cassette::of(model.name().into(), Mode::Off(model)))
            }
            other => Err(Error::invalid(format!("{VARIABLE} is `{other}`"))
                .with_hint("it is record, replay or off; without it, what there is is played and the rest recorded")),
        }
    }

    fn of(name: Arc<str>, mode: Mode) -> Self {
        Cassette { name, mode, matching: None, is_paced: false }
    }

    /// Plays back as slowly as it was recorded; otherwise everything comes at once.
    pub fn paced(mut self) -> Self {
        self.is_paced = true;
        self
    }

    /// Changes requests, in their JSON form, before they are compared: takes out what is different each time, such as
    /// the date in a system prompt. Those of the file, which has them as they were asked, are changed once.
    ///
    /// ```
    /// # use llmspell_models::Cassette;
    /// # fn example(cassette: Cassette) -> Cassette {
    /// cassette.matching(|request| request["messages"][0]["text"] = "".into())
    /// # }
    /// ```
    pub fn matching(mut self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.matching = Some(Arc::new(Matching { change: Box::new(change), index: OnceLock::new() }));
        self
    }

    /// Whether it plays back.
    pub fn is_replay(&self) -> bool {
        matches!(self.mode, Mode::Replay { .. })
    }

    /// How many recordings have not been played; 0 if it does not play back.
    pub fn left(&self) -> usize {
        match &self.mode {
            Mode::Replay { tape, .. } => tape.left(),
            Mode::Record { .. } | Mode::Off(_) => 0,
        }
    }
}

impl fmt::Debug for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Record { .. } => "record",
            Mode::Replay { .. } => "replay",
            Mode::Off(_) => "off",
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
            Mode::Off(model) => model.stream(request, cx),
            Mode::Record { model, writer } => {
                let asked = as_json(&request);
                ModelStream::new(Recorder::new(model.stream(request, cx), asked, writer.clone()))
            }
            Mode::Replay { path, tape } => {
                let (path, tape, matching, is_paced) =
                    (path.clone(), tape.clone(), self.matching.clone(), self.is_paced);
                ModelStream::produce(async move |events| {
                    let mut asked = as_json(&request);
                    let index = match matching.as_deref() {
                        Some(Matching { change, index }) => {
                            change(&mut asked);
                            index.get_or_init(|| tape.index().changed(change))
                        }
                        None => tape.index(),
                    };
                    let found = tape.find(&asked, index, &path)?;
                    play(&found, is_paced, &events).await
                })
            }
        }
    }
}

/// What the model is asked, as it is once it has been in a file: numbers are not read to the last bit.
fn as_json(request: &Request) -> Value {
    let text = serde_json::to_string(request).unwrap_or_default();
    let mut asked: Value = serde_json::from_str(&text).unwrap_or_default();
    for tool in asked.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        // The rest of a tool's spec is for us, and may change without a word to the model.
        if let Some(spec) = tool.as_object_mut() {
            spec.retain(|field, _| matches!(field.as_str(), "name" | "description" | "parameters"));
        }
    }
    asked
}

async fn play(interaction: &Interaction, is_paced: bool, events: &llmspell::model::EventSender) -> Result<()> {
    let begin = Instant::now();
    let pause = async |after: f64| {
        if is_paced && let Ok(after) = std::time::Duration::try_from_secs_f64(after / 1e3) {
            sleep_until(begin + after).await;
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
    use llmspell::model::ScriptedModel;

    #[test]
    fn the_variable_decides_what_is_not_clear_and_the_model_is_made_only_to_be_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.jsonl");
        let model = || Ok(ScriptedModel::new("test/it"));
        let no_model = || -> Result<ScriptedModel> { panic!("there is no key") };
        assert!(Cassette::as_told(Some("replay"), no_model, &path).is_err(), "there is no file yet");
        assert!(!Cassette::as_told(Some("off"), model, &path).unwrap().is_replay());
        assert!(!path.exists());
        assert!(!Cassette::as_told(None, model, &path).unwrap().is_replay());
        assert!(Cassette::as_told(None, no_model, &path).unwrap().is_replay());
        assert!(Cassette::as_told(Some(""), no_model, &path).unwrap().is_replay());
        assert!(!Cassette::as_told(Some("record"), model, &path).unwrap().is_replay());
        let error = Cassette::as_told(Some("rewind"), no_model, &path).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("replay")), "{error:?}");
    }
}
