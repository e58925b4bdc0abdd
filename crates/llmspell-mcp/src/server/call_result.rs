//! Converts the results of tools to the results of MCP calls.

use std::time::Duration;

use llmspell::{Error, ErrorKind, Result};
use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ErrorCode};
use serde_json::{Value, json};

use super::admission::Overloaded;
use crate::protocol::OVERLOADED;

/// The longest stdio line and the largest HTTP event that rmcp, and thus our client, accepts. Over stdio rmcp skips a
/// longer line without an error, and the client would wait for the answer until its deadline.
const MAX_MESSAGE: usize = 16 << 20;

/// The room for the JSON-RPC envelope of an answer.
const ENVELOPE: usize = 4096;

/// Returns the error of a call that exceeded the server's time limit.
pub(crate) fn timed_out(limit: Duration) -> Error {
    let message = format!("the tool exceeded the time limit of {} s", limit.as_secs_f64());
    Error::new(ErrorKind::Timeout, message).with_hint("ask for less per call")
}

/// Converts a rejection to a protocol error, which the client handles and no model reads.
pub(crate) fn rejection(Overloaded(error): &Overloaded) -> ErrorData {
    let data = error.retry_after().map(|delay| json!({ "retryAfterMs": delay.as_millis() as u64 }));
    ErrorData::new(ErrorCode(OVERLOADED), error.message().to_owned(), data)
}

/// Converts the result of a call that ran. An error of any kind becomes a result, because the model must read it.
pub(crate) fn response(result: Result<Value>) -> CallToolResponse {
    let error = match result {
        Ok(value) => {
            let result = success(value);
            return if is_too_large(&result) { too_large() } else { result }.into();
        }
        Err(error) => error,
    };
    let text = match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    };
    CallToolResult::error(vec![ContentBlock::text(text)]).into()
}

fn too_large() -> CallToolResult {
    let text = "the answer is larger than 16 MiB, the limit of MCP clients\nhint: ask for less";
    CallToolResult::error(vec![ContentBlock::text(text)])
}

fn is_too_large(result: &CallToolResult) -> bool {
    serde_json::to_writer(ByteCounter { left: MAX_MESSAGE - ENVELOPE }, result).is_err()
}

/// A writer that accepts up to a number of bytes and discards them.
struct ByteCounter {
    left: usize,
}

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Converts the output of a tool. An object becomes structured content, and text for clients without support for it. A
/// string becomes text. Pure MCP content is kept: an image that a tool of another server returns stays an image here.
fn success(value: Value) -> CallToolResult {
    if let Some(content) = content(&value) {
        return CallToolResult::success(content);
    }
    let text = match &value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    if value.is_object() {
        result.structured_content = Some(value);
    }
    result
}

/// Returns the content of `{ "content": […] }`, or `None` for any other value.
fn content(value: &Value) -> Option<Vec<ContentBlock>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let content: Vec<ContentBlock> = serde_json::from_value(object.get("content")?.clone()).ok()?;
    (!content.is_empty()).then_some(content)
}
