//! What a model says, piece by piece.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::observe::usage::Usage;

/// One piece of a reply.
///
/// The JSON form, `{"text": "…"}` for the first, is also what a step that asks a model shows as
/// [partial output](crate::Chunk).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelEvent {
    /// The request was accepted, and by whom: the model's own name for itself, and the provider's name for the
    /// request. Not output: a race for the first output is not decided by it.
    #[non_exhaustive]
    Started {
        /// The model that answers, such as `gpt-5-2026-08-07`, where the provider says so.
        model: Option<String>,
        /// The provider's name for the request, for asking them about it.
        request_id: Option<String>,
    },
    /// A piece of the answer.
    Text(String),
    /// A piece of what the model thinks before it answers.
    Reasoning(String),
    /// A piece of a call of a tool.
    ToolCall(ToolCallDelta),
    /// Something that the provider wants back with the reply in the next request, such as the signature of what
    /// was thought. Nobody else looks into it.
    Opaque(Value),
    /// What the reply has used in all so far: the last one of a reply counts.
    Usage(Usage),
    /// A sign of life with nothing in it, such as a heartbeat of the connection.
    ///
    /// It counts as life and not as output: it ends no wait for the first output, and after that it restarts the idle
    /// clock of an [idle timeout](crate::Step::idle_timeout), as often as it comes. A model that shows nothing else
    /// for ever is ended by a [timeout](crate::Step::timeout) of the whole, or by the agent's deadline.
    Alive,
    /// The reply is complete, and why it ends here.
    Finish(Finish),
}

/// A piece of a call of a tool. The pieces of one call have one `index`; `arguments` of all of them, put
/// together, are JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolCallDelta {
    /// Which call of the reply this belongs to, from 0.
    pub index: usize,
    /// The call's name for itself, in the first piece.
    pub id: Option<String>,
    /// The tool to be called, in the first piece.
    pub name: Option<String>,
    /// A piece of the arguments' JSON.
    pub arguments: String,
}

impl ToolCallDelta {
    /// The first piece of a call, without arguments yet.
    pub fn begin(index: usize, id: impl Into<String>, name: impl Into<String>) -> Self {
        ToolCallDelta { index, id: Some(id.into()), name: Some(name.into()), arguments: String::new() }
    }

    /// A piece of the arguments of a call.
    pub fn more(index: usize, arguments: impl Into<String>) -> Self {
        ToolCallDelta { index, arguments: arguments.into(), ..ToolCallDelta::default() }
    }

    /// The piece with these arguments in it.
    pub fn with_arguments(mut self, arguments: impl Into<String>) -> Self {
        self.arguments = arguments.into();
        self
    }
}

impl ModelEvent {
    /// A [`ModelEvent::Started`] with what the provider says of itself.
    pub fn started(model: Option<String>, request_id: Option<String>) -> Self {
        ModelEvent::Started { model, request_id }
    }
}

/// Why a reply ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// The model had no more to say, or came to a stop sequence.
    Stop,
    /// It waits for the answers to its calls of tools.
    ToolCalls,
    /// It came to the number of tokens it may answer with: the reply is cut off.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
    /// Something else, in the provider's words.
    Other(String),
}

impl Finish {
    /// The name used in JSON and in messages, such as `tool_calls`.
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

/// As partial output: in its JSON form.
impl From<ModelEvent> for Value {
    fn from(event: ModelEvent) -> Value {
        // The two that come by the thousand skip the serialiser, which would copy their text.
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
