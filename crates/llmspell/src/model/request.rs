//! What a model is asked.

use std::sync::Arc;

use serde::Serialize;

use super::message::Message;
use super::options::Options;
use crate::tool::ToolSpec;

/// What a model is asked: a conversation so far, the tools it may call, and how it is to answer.
///
/// A clone shares all three, so a request can be retried and raced at no cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Arc<Vec<Message>>,
    /// The tools that the model may call.
    #[serde(skip_serializing_if = "is_empty")]
    pub tools: Arc<Vec<Arc<ToolSpec>>>,
    /// How it is to answer.
    pub options: Arc<Options>,
}

fn is_empty(tools: &[Arc<ToolSpec>]) -> bool {
    tools.is_empty()
}

impl Request {
    /// A request with one message of a user.
    pub fn new(prompt: impl Into<String>) -> Self {
        Request::of(vec![Message::user(prompt)])
    }

    /// A request with a conversation so far.
    pub fn of(messages: impl Into<Arc<Vec<Message>>>) -> Self {
        Request { messages: messages.into(), ..Request::default() }
    }

    /// Says what tools the model may call.
    pub fn with_tools(mut self, tools: impl Into<Arc<Vec<Arc<ToolSpec>>>>) -> Self {
        self.tools = tools.into();
        self
    }

    /// Says how it is to answer.
    pub fn with_options(mut self, options: impl Into<Arc<Options>>) -> Self {
        self.options = options.into();
        self
    }

    /// The words of the last message.
    pub fn last_text(&self) -> String {
        self.messages.last().map(Message::text).unwrap_or_default()
    }
}

impl From<&str> for Request {
    fn from(prompt: &str) -> Self {
        Request::new(prompt)
    }
}

impl From<String> for Request {
    fn from(prompt: String) -> Self {
        Request::new(prompt)
    }
}
