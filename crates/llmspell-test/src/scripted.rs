//! A model that replays scripted turns.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::model::{EventSender, Finish, Model, ModelError, ModelEvent, ModelStream, Request, ToolCallDelta};
use llmspell::observe::Usage;
use llmspell::{Context, Error, Result};
use serde_json::Value;
use tokio::time::sleep;

/// A model that replays a script, one turn for each request, and keeps the requests.
///
/// A turn that calls tools extends until the next text, error or other turn: `calls` after `calls` is one turn with two
/// calls. Everything else starts a turn of its own, and so does [`ScriptedModel::then_calls`]. The ids of calls are
/// `call_0`, `call_1` and so on through all turns.
///
/// A request beyond the script is an error, unless [`ScriptedModel::otherwise`] has an answer. Clones share the script.
///
/// ```
/// use llmspell::model::{Model, Request};
/// use llmspell::{Context, Step};
/// use llmspell_test::ScriptedModel;
/// use serde_json::json;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let model = ScriptedModel::new("test")
///     .calls("weather", json!({ "city": "Oslo" }))
///     .calls("weather", json!({ "city": "Rome" })) // the same turn
///     .says("Rome is warmer.");
/// let ask = model.clone().step();
/// let first = ask.run(Request::new("Oslo or Rome?"), &Context::new()).await?;
/// assert_eq!(first.tool_calls.len(), 2);
/// let second = ask.run(Request::new("…"), &Context::new()).await?;
/// assert_eq!(second.text, "Rome is warmer.");
/// assert_eq!(model.requests()[0].last_text(), "Oslo or Rome?");
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct ScriptedModel {
    name: Arc<str>,
    delay: Duration,
    state: Arc<Mutex<ScriptState>>,
}

#[derive(Default)]
struct ScriptState {
    /// The number of tool calls so far, for their ids.
    calls: u64,
    script: VecDeque<ScriptedTurn>,
    otherwise: Option<AnswerFn>,
    requests: Vec<Request>,
}

type AnswerFn = Arc<dyn Fn(&Request) -> String + Send + Sync>;

enum ScriptedTurn {
    Text(String),
    ToolCalls(Vec<(String, String)>),
    Events(Vec<ModelEvent>),
    Failure(Error),
    Hang,
}

impl ScriptedModel {
    /// Creates a model with an empty script.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        ScriptedModel { name: name.into(), delay: Duration::ZERO, state: Arc::default() }
    }

    /// Sets the time before each reply starts.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a turn with a text answer, sent word by word.
    pub fn says(self, text: impl Into<String>) -> Self {
        self.with_turn(ScriptedTurn::Text(text.into()))
    }

    /// Adds a tool call. Consecutive calls are one turn.
    pub fn calls(self, tool: impl Into<String>, arguments: Value) -> Self {
        self.calls_raw(tool, arguments.to_string())
    }

    /// Adds a turn with a tool call, even if the turn before also calls tools; a following `calls` extends it.
    ///
    /// ```
    /// use llmspell_test::ScriptedModel;
    /// use serde_json::json;
    ///
    /// let model = ScriptedModel::new("test")
    ///     .calls("search", json!({ "query": "rust" }))
    ///     .then_calls("open", json!({ "page": 1 }))
    ///     .says("Here it is.");
    /// assert_eq!(model.turns_left(), 3);
    /// ```
    pub fn then_calls(self, tool: impl Into<String>, arguments: Value) -> Self {
        self.with_turn(ScriptedTurn::ToolCalls(vec![(tool.into(), arguments.to_string())]))
    }

    /// Like [`ScriptedModel::calls`], with arguments that need not be valid JSON.
    pub fn calls_raw(self, tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        let call = (tool.into(), arguments.into());
        {
            let mut state = self.state();
            match state.script.back_mut() {
                Some(ScriptedTurn::ToolCalls(calls)) => calls.push(call),
                _ => state.script.push_back(ScriptedTurn::ToolCalls(vec![call])),
            }
        }
        self
    }

    /// Adds a turn with exactly these events, complete or not.
    pub fn sends(self, events: impl IntoIterator<Item = ModelEvent>) -> Self {
        self.with_turn(ScriptedTurn::Events(events.into_iter().collect()))
    }

    /// Adds a turn that fails.
    pub fn fails(self, error: ModelError) -> Self {
        self.with_turn(ScriptedTurn::Failure(error.into_error()))
    }

    /// Adds a turn that never ends.
    pub fn hangs(self) -> Self {
        self.with_turn(ScriptedTurn::Hang)
    }

    /// Sets the answer to every request beyond the script.
    pub fn otherwise(self, answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        self.state().otherwise = Some(Arc::new(answer));
        self
    }

    /// Returns the requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Returns the number of turns left in the script.
    pub fn turns_left(&self) -> usize {
        self.state().script.len()
    }

    fn with_turn(self, turn: ScriptedTurn) -> Self {
        self.state().script.push_back(turn);
        self
    }

    fn state(&self) -> MutexGuard<'_, ScriptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the request, and takes its turn from the script.
    fn next_turn(&self, request: Request) -> ScriptedTurn {
        let mut state = self.state();
        state.requests.push(request.clone());
        if let Some(turn) = state.script.pop_front() {
            return turn;
        }
        let (number, answer) = (state.requests.len(), state.otherwise.clone());
        // The lock is released first: the closure is code of the test, and may call methods of this model.
        drop(state);
        match answer {
            Some(answer) => ScriptedTurn::Text(answer(&request)),
            None => ScriptedTurn::Failure(
                Error::invalid(format!("{}: request {number} is beyond the script", self.name))
                    .with_hint("add a turn with `says` or `calls`, or an answer to all requests with `otherwise`"),
            ),
        }
    }

    fn next_call_id(&self) -> String {
        let mut state = self.state();
        state.calls += 1;
        format!("call_{}", state.calls - 1)
    }

    async fn play(&self, turn: ScriptedTurn, mut usage: Usage, events: &EventSender) -> Result<()> {
        let started = ModelEvent::started(Some(self.name.to_string()), None);
        let finish = match turn {
            ScriptedTurn::Failure(error) => return Err(error),
            ScriptedTurn::Hang => return std::future::pending().await,
            ScriptedTurn::Events(script) => {
                for event in script {
                    events.send(event).await?;
                }
                return Ok(());
            }
            ScriptedTurn::Text(text) => {
                events.send(started).await?;
                for word in text.split_inclusive(' ') {
                    usage.output_tokens += 1;
                    events.send(ModelEvent::Text(word.to_owned())).await?;
                }
                Finish::Stop
            }
            ScriptedTurn::ToolCalls(calls) => {
                events.send(started).await?;
                for (index, (name, arguments)) in calls.into_iter().enumerate() {
                    usage.output_tokens += 1;
                    let delta = ToolCallDelta::begin(index, self.next_call_id(), name).with_arguments(arguments);
                    events.send(ModelEvent::ToolCall(delta)).await?;
                }
                Finish::ToolCalls
            }
        };
        events.send(ModelEvent::Usage(usage)).await?;
        events.send(ModelEvent::Finish(finish)).await
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, request: Request, _cx: &Context) -> ModelStream {
        let model = self.clone();
        ModelStream::produce(async move |events| {
            let usage = Usage::new(word_count(&request), 0);
            let turn = model.next_turn(request);
            if !model.delay.is_zero() {
                sleep(model.delay).await;
            }
            model.play(turn, usage, &events).await
        })
    }
}

impl fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns_left = self.turns_left();
        f.debug_struct("ScriptedModel")
            .field("name", &self.name)
            .field("turns_left", &turns_left)
            .finish_non_exhaustive()
    }
}

/// Returns the number of words of the request, as a stand-in for its tokens.
pub(crate) fn word_count(request: &Request) -> u64 {
    request.messages.iter().map(|message| message.text().split_whitespace().count() as u64).sum()
}
