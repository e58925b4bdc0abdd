//! A model that says what a test tells it to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::event::{Finish, ModelEvent, ToolCallDelta};
use super::request::Request;
use super::stream::{EventSender, ModelStream};
use super::{Model, ModelError};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::observe::usage::Usage;
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// A model that plays back a script, one turn for each request, and keeps what it was asked.
///
/// A turn that calls tools goes on until the next thing said ends it: `calls` after `calls` is one turn with two
/// calls; everything else is a turn of its own, and so is [`ScriptedModel::then_calls`]. Calls are named `call_0`,
/// `call_1` and so on through all turns. A request beyond the script is an error that says so, unless
/// [`ScriptedModel::otherwise`] has an answer. Clones play the same script.
///
/// ```
/// use llmspell::model::{Model, Request, ScriptedModel};
/// use llmspell::{Context, Step};
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
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    played: Mutex<Played>,
}

#[derive(Default)]
struct Played {
    /// How many calls of tools it has made, for their names.
    calls: u64,
    script: VecDeque<Turn>,
    otherwise: Option<Answer>,
    requests: Vec<Request>,
}

type Answer = Arc<dyn Fn(&Request) -> String + Send + Sync>;

enum Turn {
    Says(String),
    Calls(Vec<(String, String)>),
    Sends(Vec<ModelEvent>),
    Fails(Error),
    Hangs,
}

impl ScriptedModel {
    /// A model with an empty script.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        ScriptedModel { name: name.into(), delay: Duration::ZERO, shared: Arc::default() }
    }

    /// How long it waits before it begins each reply.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// A turn in which it answers in words, piece by piece.
    pub fn says(self, text: impl Into<String>) -> Self {
        self.with(Turn::Says(text.into()))
    }

    /// A turn in which it calls a tool; several in a row are one turn.
    pub fn calls(self, tool: impl Into<String>, arguments: Value) -> Self {
        self.calls_badly(tool, arguments.to_string())
    }

    /// A turn of its own in which it calls a tool, also if the turn before calls tools; `calls` goes on with it.
    ///
    /// ```
    /// use llmspell::model::ScriptedModel;
    /// use serde_json::json;
    ///
    /// let model = ScriptedModel::new("test")
    ///     .calls("search", json!({ "query": "rust" }))
    ///     .then_calls("open", json!({ "page": 1 }))
    ///     .says("Here it is.");
    /// assert_eq!(model.turns_left(), 3);
    /// ```
    pub fn then_calls(self, tool: impl Into<String>, arguments: Value) -> Self {
        self.with(Turn::Calls(vec![(tool.into(), arguments.to_string())]))
    }

    /// As [`ScriptedModel::calls`], with arguments that need not be JSON.
    pub fn calls_badly(self, tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        let call = (tool.into(), arguments.into());
        {
            let mut played = self.played();
            match played.script.back_mut() {
                Some(Turn::Calls(calls)) => calls.push(call),
                _ => played.script.push_back(Turn::Calls(vec![call])),
            }
        }
        self
    }

    /// A turn of these very events, complete or not.
    pub fn sends(self, events: impl IntoIterator<Item = ModelEvent>) -> Self {
        self.with(Turn::Sends(events.into_iter().collect()))
    }

    /// A turn that fails.
    pub fn fails(self, error: ModelError) -> Self {
        self.with(Turn::Fails(error.into_error()))
    }

    /// A turn that never ends.
    pub fn hangs(self) -> Self {
        self.with(Turn::Hangs)
    }

    /// What it answers to every request beyond its script.
    pub fn otherwise(self, answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        self.played().otherwise = Some(Arc::new(answer));
        self
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.played().requests.clone()
    }

    /// How many turns of the script are left.
    pub fn turns_left(&self) -> usize {
        self.played().script.len()
    }

    fn with(self, turn: Turn) -> Self {
        self.played().script.push_back(turn);
        self
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        lock(&self.shared.played)
    }

    /// The turn that this request gets.
    fn turn(&self, request: Request) -> Turn {
        let mut played = self.played();
        played.requests.push(request.clone());
        if let Some(turn) = played.script.pop_front() {
            return turn;
        }
        let (number, answer) = (played.requests.len(), played.otherwise.clone());
        // The closure is the test's own code: it may ask this model what it was asked.
        drop(played);
        match answer {
            Some(answer) => Turn::Says(answer(&request)),
            None => Turn::Fails(
                Error::invalid(format!("{}: request {number} is beyond the script", self.name))
                    .with_hint("add a turn with `says` or `calls`, or an answer to everything with `otherwise`"),
            ),
        }
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, request: Request, _cx: &Context) -> ModelStream {
        let model = self.clone();
        ModelStream::produce(async move |events| {
            let usage = Usage::new(estimate(&request), 0);
            let turn = model.turn(request);
            if !model.delay.is_zero() {
                sleep(model.delay).await;
            }
            model.play(turn, usage, &events).await
        })
    }
}

impl ScriptedModel {
    fn name_call(&self) -> String {
        let mut played = self.played();
        played.calls += 1;
        format!("call_{}", played.calls - 1)
    }

    async fn play(&self, turn: Turn, mut usage: Usage, events: &EventSender) -> Result<()> {
        let started = ModelEvent::Started { model: Some(self.name.to_string()), request_id: None };
        let finish = match turn {
            Turn::Fails(error) => return Err(error),
            Turn::Hangs => return std::future::pending().await,
            Turn::Sends(script) => {
                for event in script {
                    events.send(event).await?;
                }
                return Ok(());
            }
            Turn::Says(text) => {
                events.send(started).await?;
                for word in text.split_inclusive(' ') {
                    usage.output_tokens += 1;
                    events.send(ModelEvent::Text(word.to_owned())).await?;
                }
                Finish::Stop
            }
            Turn::Calls(calls) => {
                events.send(started).await?;
                for (index, (name, arguments)) in calls.into_iter().enumerate() {
                    usage.output_tokens += 1;
                    let id = Some(self.name_call());
                    let delta = ToolCallDelta { index, id, name: Some(name), arguments };
                    events.send(ModelEvent::ToolCall(delta)).await?;
                }
                Finish::ToolCalls
            }
        };
        events.send(ModelEvent::Usage(usage)).await?;
        events.send(ModelEvent::Finish(finish)).await
    }
}

/// Words that go in, as a stand-in for tokens.
pub(super) fn estimate(request: &Request) -> u64 {
    request.messages.iter().map(|message| message.text().split_whitespace().count() as u64).sum()
}
