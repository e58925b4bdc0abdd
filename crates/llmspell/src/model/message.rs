//! What is said in a conversation with a model.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// What the model is to be, and to heed.
    #[non_exhaustive]
    System {
        /// The text.
        text: String,
    },
    /// What the user says or shows.
    #[non_exhaustive]
    User {
        /// Its parts, in order.
        content: Vec<Content>,
    },
    /// What the model has replied; made by [`Message::assistant`] and [`Reply::into_message`](super::Reply::into_message).
    #[non_exhaustive]
    Assistant {
        /// What it said; empty if it only called tools.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// What it thought.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reasoning: String,
        /// The tools it called, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
        /// What the provider wants back; see [`ModelEvent::Opaque`](super::ModelEvent::Opaque).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        opaque: Vec<Value>,
    },
    /// What one of the tools it called has answered.
    Tool(ToolResult),
}

impl Message {
    /// A message that tells the model what to be.
    pub fn system(text: impl Into<String>) -> Self {
        Message::System { text: text.into() }
    }

    /// A message of the user in words.
    pub fn user(text: impl Into<String>) -> Self {
        Message::User { content: vec![Content::Text(text.into())] }
    }

    /// A message of the user in words and pictures.
    pub fn user_content(content: Vec<Content>) -> Self {
        Message::User { content }
    }

    /// A reply of the model in words.
    pub fn assistant(text: impl Into<String>) -> Self {
        Message::Assistant { text: text.into(), reasoning: String::new(), tool_calls: Vec::new(), opaque: Vec::new() }
    }

    /// Its words, without pictures, thoughts and calls.
    pub fn text(&self) -> String {
        match self {
            Message::System { text } | Message::Assistant { text, .. } => text.clone(),
            Message::User { content } => content.iter().filter_map(Content::as_text).collect(),
            Message::Tool(answer) => answer.text.clone(),
        }
    }

    /// The calls of tools in it; none, unless it is a reply of the model.
    pub fn tool_calls(&self) -> &[ToolCall] {
        match self {
            Message::Assistant { tool_calls, .. } => tool_calls,
            _ => &[],
        }
    }
}

/// A part of what a user says or shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Words.
    Text(String),
    /// A picture.
    Image(Image),
}

impl Content {
    /// The words, if it is words.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Content::Text(text) => Some(text),
            Content::Image(_) => None,
        }
    }
}

/// A picture for a model to see.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Image {
    /// Where the provider can fetch it.
    Url(String),
    /// The picture itself.
    #[non_exhaustive]
    Data {
        /// Such as `image/png`.
        media_type: String,
        /// Its bytes in Base64.
        base64: String,
    },
}

impl Image {
    /// A picture of a type such as `image/png`, whose bytes are in Base64.
    pub fn data(media_type: impl Into<String>, base64: impl Into<String>) -> Self {
        Image::Data { media_type: media_type.into(), base64: base64.into() }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::Url(url) => f.debug_tuple("Url").field(url).finish(),
            Image::Data { media_type, base64 } => write!(f, "Data({media_type}, {} bytes of Base64)", base64.len()),
        }
    }
}

/// A tool that the model wants called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolCall {
    /// The model's name for the call; its answer carries the same.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON, if it wrote well.
    pub arguments: String,
}

impl ToolCall {
    /// A call of `name` with these arguments.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        ToolCall::raw(id, name, arguments.to_string())
    }

    /// A call of `name` with the arguments as the model wrote them.
    pub fn raw(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }
}

/// What a tool has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolResult {
    /// The [id](ToolCall::id) of the call it answers.
    pub call_id: String,
    /// The name of the tool.
    pub name: String,
    /// What it said: words as they are, anything else as JSON.
    pub text: String,
    /// Whether it failed, and `text` says why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

impl ToolResult {
    /// What the tool that `call` wants says to it.
    pub fn new(call: &ToolCall, text: impl Into<String>) -> Self {
        ToolResult { call_id: call.id.clone(), name: call.name.clone(), text: text.into(), is_error: false }
    }

    /// The same as a failure, of which the text says why.
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }
}
