//! What a model is asked.

use std::sync::Arc;

use serde::Serialize;

use super::message::{Message, ToolCall};
use super::options::{Options, OutputFormat};
use crate::tool::ToolSpec;

/// How many bytes of UTF-8 are taken for a token, where nobody has counted.
///
/// OpenAI's rule of thumb is that a token is about four characters of English ("What are tokens and how to count
/// them?", help.openai.com, and platform.openai.com/tokenizer), and those have one byte each. Counted in bytes, writing
/// that takes more of them for a character takes more tokens, too, as it does with models. Code, JSON and rare languages
/// take more tokens than this, and each model has its own way to make them.
pub const BYTES_PER_TOKEN: u64 = 4;

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

    /// About how many tokens go in, at [`BYTES_PER_TOKEN`] of what is said and of the JSON of tools and calls. Pictures
    /// are left out: what they come to depends on the provider.
    pub fn estimated_tokens(&self) -> u64 {
        let of_call = |call: &ToolCall| call.name.len() + call.arguments.len();
        let of_message =
            |message: &Message| message.text().len() + message.tool_calls().iter().map(of_call).sum::<usize>();
        let said: usize = self.messages.iter().map(of_message).sum();
        let mut json = Bytes(said as u64);
        // Into a counter, which cannot fail; maps in them have text for keys.
        for tool in self.tools.iter() {
            let _ = serde_json::to_writer(&mut json, tool);
        }
        if let OutputFormat::Schema { schema, .. } = &self.options.output {
            let _ = serde_json::to_writer(&mut json, schema);
        }
        json.0.div_ceil(BYTES_PER_TOKEN)
    }

    /// The words of the last message.
    pub fn last_text(&self) -> String {
        self.messages.last().map(Message::text).unwrap_or_default()
    }
}

/// Counts what is written.
struct Bytes(u64);

impl std::io::Write for Bytes {
    fn write(&mut self, written: &[u8]) -> std::io::Result<usize> {
        self.0 += written.len() as u64;
        Ok(written.len())
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
