//! The events of a streamed reply.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::observe::usage::Usage;

/// An event of a streamed reply.
///
/// Its JSON form, such as `{"text": "…"}`, is also the [partial output](crate::context::Chunk) of a step that calls a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelEvent {
    /// The provider accepted the request. This is not output: it does not decide a first-output race.
    #[non_exhaustive]
    Started {
        /// The model that answers, such as `gpt-5-2026-08-07`, if the provider reports it.
        model: Option<String>,
        /// The provider's id of the request, for support questions.
        request_id: Option<String>,
    },
    /// A piece of the answer.
    Text(String),
    /// A piece of the model's reasoning before the answer.
    Reasoning(String),
    /// A piece of a tool call.
    ToolCall(ToolCallDelta),
    /// A value that the provider needs back with the reply in the next request, such as the signature of its
    /// reasoning. It is not interpreted.
    Opaque(Value),
    /// The total usage of the reply so far: the last one counts.
    Usage(Usage),
    /// A heartbeat without content, such as a keep-alive of the connection.
    ///
    /// It is not output: it does not end a wait for the first output. After the first output, it restarts the clock of an
    /// [idle timeout](crate::Step::idle_timeout). To end a model that only sends heartbeats, use a
    /// [timeout](crate::Step::timeout) or the agent's deadline.
    Alive,
    /// The reply is complete, with the reason for its end.
    Finish(Finish),
}

/// A piece of a tool call. The pieces of one call have the same `index`; their concatenated `arguments` are JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolCallDelta {
    /// The index of the call in the reply, from 0.
    pub index: usize,
    /// The id of the call, in the first piece.
    pub id: Option<String>,
    /// The name of the tool, in the first piece.
    pub name: Option<String>,
    /// A piece of the arguments' JSON.
    pub arguments: String,
}

impl ToolCallDelta {
    /// Creates the first piece of a call, without arguments.
    pub fn begin(index: usize, id: impl Into<String>, name: impl Into<String>) -> Self {
        ToolCallDelta { index, id: Some(id.into()), name: Some(name.into()), arguments: String::new() }
    }

    /// Creates a piece of the arguments of a call.
    pub fn more(index: usize, arguments: impl Into<String>) -> Self {
        ToolCallDelta { index, arguments: arguments.into(), ..ToolCallDelta::default() }
    }

    /// Returns the piece with these arguments.
    pub fn with_arguments(mut self, arguments: impl Into<String>) -> Self {
        self.arguments = arguments.into();
        self
    }
}

impl ModelEvent {
    /// Creates a [`ModelEvent::Started`].
    pub fn started(model: Option<String>, request_id: Option<String>) -> Self {
        ModelEvent::Started { model, request_id }
    }
}

/// The reason for the end of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// The answer is complete, or the model reached a stop sequence.
    Stop,
    /// The model waits for the results of its tool calls.
    ToolCalls,
    /// The reply is cut off at its maximum number of tokens.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
    /// Another reason, as the provider names it.
    Other(String),
}

impl Finish {
    /// Returns the name used in JSON and in messages, such as `tool_calls`.
    pub fn as_str(&self) -> &str {
        match self {
            Finish::Stop => "stop",
            Finish::ToolCalls => "tool_calls",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
            Finish::Other(reason) => reason,
        }
    }
}

/// The JSON form, as partial output.
impl From<ModelEvent> for Value {
    fn from(event: ModelEvent) -> Value {
        // The two frequent events skip the serializer, which would copy their text.
        match event {
            ModelEvent::Text(text) => single("text", text),
            ModelEvent::Reasoning(text) => single("reasoning", text),
            other => serde_json::to_value(other).unwrap_or_default(),
        }
    }
}

fn single(key: &str, text: String) -> Value {
    Value::Object([(key.to_owned(), Value::String(text))].into_iter().collect())
}
