//! The request to a model.

use std::sync::Arc;

use serde::Serialize;

use super::message::{Message, ToolCall};
use super::options::{Options, OutputFormat};
use crate::tool::ToolSpec;

/// The number of UTF-8 bytes that an estimate counts as one token.
///
/// OpenAI's rule of thumb is that a token is about four characters of English ("What are tokens and how to count
/// them?", help.openai.com, and platform.openai.com/tokenizer), which have one byte each. Bytes rather than characters
/// are counted because scripts with more bytes per character also need more tokens. Code, JSON and rare languages need
/// more tokens than this estimate, and each model has its own tokenizer.
pub const BYTES_PER_TOKEN: u64 = 4;

/// A request to a model: the conversation so far, the tools it may call, and options.
///
/// A clone shares all three, so retries and races copy nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Arc<Vec<Message>>,
    /// The tools that the model may call.
    #[serde(skip_serializing_if = "is_empty")]
    pub tools: Arc<Vec<Arc<ToolSpec>>>,
    /// The options of the answer.
    pub options: Arc<Options>,
}

fn is_empty(tools: &[Arc<ToolSpec>]) -> bool {
    tools.is_empty()
}

impl Request {
    /// Creates a request with one message of the user.
    pub fn new(prompt: impl Into<String>) -> Self {
        Request::of(vec![Message::user(prompt)])
    }

    /// Creates a request with the conversation so far.
    pub fn of(messages: impl Into<Arc<Vec<Message>>>) -> Self {
        Request { messages: messages.into(), ..Request::default() }
    }

    /// Sets the tools that the model may call.
    pub fn with_tools(mut self, tools: impl Into<Arc<Vec<Arc<ToolSpec>>>>) -> Self {
        self.tools = tools.into();
        self
    }

    /// Sets the options of the answer.
    pub fn with_options(mut self, options: impl Into<Arc<Options>>) -> Self {
        self.options = options.into();
        self
    }

    /// Returns an estimate of the input tokens, at [`BYTES_PER_TOKEN`], of the messages and of the JSON of tools and
    /// calls. Images are not counted: their tokens depend on the provider.
    pub fn estimated_tokens(&self) -> u64 {
        let of_call = |call: &ToolCall| call.name.len() + call.arguments.len();
        let of_message =
            |message: &Message| message.text().len() + message.tool_calls().iter().map(of_call).sum::<usize>();
        let of_messages: usize = self.messages.iter().map(of_message).sum();
        let mut json = ByteCounter(of_messages as u64);
        // Writing to a counter cannot fail, and all maps have string keys.
        for tool in self.tools.iter() {
            let _ = serde_json::to_writer(&mut json, tool);
        }
        if let OutputFormat::Schema { schema, .. } = &self.options.output {
            let _ = serde_json::to_writer(&mut json, schema);
        }
        json.0.div_ceil(BYTES_PER_TOKEN)
    }

    /// Returns the text of the last message.
    pub fn last_text(&self) -> String {
        self.messages.last().map(Message::text).unwrap_or_default()
    }
}

/// A writer that counts bytes.
struct ByteCounter(u64);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
