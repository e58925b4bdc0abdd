//! The messages of a conversation with a model.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// A system prompt.
    #[non_exhaustive]
    System {
        /// The text.
        text: String,
    },
    /// A message of the user.
    #[non_exhaustive]
    User {
        /// Its parts, in order.
        content: Vec<Content>,
    },
    /// A reply of the model; made by [`Message::assistant`] and [`Reply::into_message`](super::Reply::into_message).
    #[non_exhaustive]
    Assistant {
        /// The answer; empty if the model only called tools.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// The reasoning.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reasoning: String,
        /// The tool calls, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
        /// Values that the provider needs back; see [`ModelEvent::Opaque`](super::ModelEvent::Opaque).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        opaque: Vec<Value>,
    },
    /// The result of a tool call.
    Tool(ToolResult),
}

impl Message {
    /// Creates a system prompt.
    pub fn system(text: impl Into<String>) -> Self {
        Message::System { text: text.into() }
    }

    /// Creates a text message of the user.
    pub fn user(text: impl Into<String>) -> Self {
        Message::User { content: vec![Content::Text(text.into())] }
    }

    /// Creates a message of the user with text and images.
    pub fn user_content(content: Vec<Content>) -> Self {
        Message::User { content }
    }

    /// Creates a text reply of the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Message::Assistant { text: text.into(), reasoning: String::new(), tool_calls: Vec::new(), opaque: Vec::new() }
    }

    /// Returns the text, without images, reasoning and tool calls.
    pub fn text(&self) -> String {
        match self {
            Message::System { text } | Message::Assistant { text, .. } => text.clone(),
            Message::User { content } => content.iter().filter_map(Content::as_text).collect(),
            Message::Tool(answer) => answer.text.clone(),
        }
    }

    /// Returns the tool calls; only a reply of the model has any.
    pub fn tool_calls(&self) -> &[ToolCall] {
        match self {
            Message::Assistant { tool_calls, .. } => tool_calls,
            _ => &[],
        }
    }
}

/// A part of a user's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(Image),
}

impl Content {
    /// Returns the text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Content::Text(text) => Some(text),
            Content::Image(_) => None,
        }
    }
}

/// An image in a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Image {
    /// A URL from which the provider can fetch the image.
    Url(String),
    /// The image itself.
    #[non_exhaustive]
    Data {
        /// The media type, such as `image/png`.
        media_type: String,
        /// The bytes in Base64.
        base64: String,
    },
}

impl Image {
    /// Creates an image from its media type, such as `image/png`, and its bytes in Base64.
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

/// A tool call of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolCall {
    /// The id of the call; its result has the same.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The arguments as the model wrote them. They should be JSON, but need not be valid.
    pub arguments: String,
}

impl ToolCall {
    /// Creates a call of the tool `name`.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        ToolCall::raw(id, name, arguments.to_string())
    }

    /// Creates a call of the tool `name` with the arguments as the model wrote them.
    pub fn raw(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }
}

/// The result of a tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolResult {
    /// The [id](ToolCall::id) of the call.
    pub call_id: String,
    /// The name of the tool.
    pub name: String,
    /// The output: a string as it is, any other value as JSON.
    pub text: String,
    /// Whether the call failed; `text` is then the error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

impl ToolResult {
    /// Creates the result of a call.
    pub fn new(call: &ToolCall, text: impl Into<String>) -> Self {
        ToolResult { call_id: call.id.clone(), name: call.name.clone(), text: text.into(), is_error: false }
    }

    /// Marks the result as a failure, with the text as the error.
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }
}
