//! Scripted answers of the server, and complete replies in the wire format of each provider.

use std::time::Duration;

use serde_json::{Value, json};

use llmspell_models::Wire;

/// A scripted answer: a status, headers, a body in pieces with pauses, and an end.
///
/// ```
/// use std::time::Duration;
/// use llmspell_test::fault_server::Answer;
/// use serde_json::json;
///
/// let truncated = Answer::events()
///     .data(json!({ "choices": [{ "index": 0, "delta": { "content": "The capi" } }] }))
///     .pause(Duration::from_millis(20))
///     .cut();
/// ```
#[derive(Clone, Debug)]
#[must_use = "an answer is given to a server"]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) actions: Vec<ServerAction>,
    pub(super) answer_end: AnswerEnd,
}

#[derive(Clone, Debug)]
pub(super) enum ServerAction {
    Begin,
    Write(String),
    Pause(Duration),
    Repeat(String, usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AnswerEnd {
    Complete,
    Cut,
    Stall,
}

impl Answer {
    /// Creates an answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Answer { status, headers: Vec::new(), actions: Vec::new(), answer_end: AnswerEnd::Complete }
    }

    /// Creates a stream of server-sent events, with status 200.
    pub fn events() -> Self {
        Answer::status(200).header("content-type", "text/event-stream")
    }

    /// Creates a stream of JSON lines, with status 200.
    pub fn lines() -> Self {
        Answer::status(200).header("content-type", "application/x-ndjson")
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a piece of the body.
    pub fn body(self, text: impl Into<String>) -> Self {
        self.with_action(ServerAction::Write(text.into()))
    }

    /// Adds the same piece of the body `times` times.
    pub fn repeat(self, text: impl Into<String>, times: usize) -> Self {
        self.with_action(ServerAction::Repeat(text.into(), times))
    }

    /// Adds JSON as a piece of the body, on a line of its own.
    pub fn line(self, json: impl Into<Value>) -> Self {
        self.body(format!("{}\n", json.into()))
    }

    /// Adds an event with JSON data.
    pub fn data(self, json: impl Into<Value>) -> Self {
        self.body(format!("data: {}\n\n", json.into()))
    }

    /// Adds an event with a name and JSON data.
    pub fn event(self, name: &str, json: impl Into<Value>) -> Self {
        self.body(format!("event: {name}\ndata: {}\n\n", json.into()))
    }

    /// Adds the final event of OpenAI's streams.
    pub fn done(self) -> Self {
        self.body("data: [DONE]\n\n")
    }

    /// Adds a pause. At the start, it comes before the status and the headers.
    pub fn pause(self, time: Duration) -> Self {
        self.with_action(ServerAction::Pause(time))
    }

    /// Sends status and headers at this point.
    pub fn begin(self) -> Self {
        self.with_action(ServerAction::Begin)
    }

    /// Closes the connection after the pieces so far, without ending the answer.
    pub fn cut(mut self) -> Self {
        self.answer_end = AnswerEnd::Cut;
        self
    }

    /// Sends nothing after the pieces so far, and keeps the connection open.
    pub fn stall(mut self) -> Self {
        self.answer_end = AnswerEnd::Stall;
        self
    }

    /// Creates a complete text reply, word by word, in this wire format.
    ///
    /// # Panics
    /// If the wire is newer than this server.
    pub fn says(wire: Wire, text: &str) -> Self {
        let words = text.split_inclusive(' ');
        match wire {
            Wire::OpenAi => {
                let answer = Answer::events().data(openai(json!({ "role": "assistant", "content": "" }), None));
                let answer = words.fold(answer, |all, word| all.data(openai(json!({ "content": word }), None)));
                answer.end_openai("stop")
            }
            Wire::Anthropic => {
                let begin = json!({ "type": "content_block_start", "index": 0,
                    "content_block": { "type": "text", "text": "" } });
                let answer = Answer::start_anthropic().event("content_block_start", begin);
                let answer = words.fold(answer, |all, word| {
                    all.event(
                        "content_block_delta",
                        json!({ "type": "content_block_delta", "index": 0,
                        "delta": { "type": "text_delta", "text": word } }),
                    )
                });
                answer.end_anthropic("end_turn")
            }
            Wire::Gemini => {
                let answer =
                    words.fold(Answer::events(), |all, word| all.data(gemini(json!([{ "text": word }]), None)));
                answer.data(gemini(json!([{ "text": "" }]), Some("STOP")))
            }
            Wire::Ollama => {
                let answer = words.fold(Answer::lines(), |all, word| {
                    all.line(
                        json!({ "model": MODEL, "message": { "role": "assistant", "content": word }, "done": false }),
                    )
                });
                answer.line(ollama_end())
            }
            other => panic!("no format for the wire {other:?}"),
        }
    }

    /// Creates a complete reply with a tool call, in this wire format.
    ///
    /// # Panics
    /// If the wire is newer than this server.
    pub fn calls(wire: Wire, tool: &str, arguments: &Value) -> Self {
        let text = arguments.to_string();
        let (head, tail) = text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
        match wire {
            Wire::OpenAi => {
                let piece = |call: Value| openai(json!({ "tool_calls": [call] }), None);
                let first = json!({ "index": 0, "id": "call_abc", "type": "function",
                    "function": { "name": tool, "arguments": "" } });
                let more = |part: &str| json!({ "index": 0, "function": { "arguments": part } });
                let answer = Answer::events().data(piece(first)).data(piece(more(head))).data(piece(more(tail)));
                answer.end_openai("tool_calls")
            }
            Wire::Anthropic => {
                let delta = |part: &str| {
                    json!({ "type": "content_block_delta", "index": 0,
                    "delta": { "type": "input_json_delta", "partial_json": part } })
                };
                let begin = json!({ "type": "content_block_start", "index": 0,
                    "content_block": { "type": "tool_use", "id": "toolu_abc", "name": tool, "input": {} } });
                let answer = Answer::start_anthropic().event("content_block_start", begin);
                let answer = answer.event("content_block_delta", delta(head)).event("content_block_delta", delta(tail));
                answer.end_anthropic("tool_use")
            }
            Wire::Gemini => {
                let call = json!([{ "functionCall": { "name": tool, "args": arguments } }]);
                Answer::events().data(gemini(call, Some("STOP")))
            }
            Wire::Ollama => {
                let call = json!({ "function": { "name": tool, "arguments": arguments } });
                let message = json!({ "role": "assistant", "content": "", "tool_calls": [call] });
                let line = json!({ "model": MODEL, "message": message, "done": false });
                Answer::lines().line(line).line(ollama_end())
            }
            other => panic!("no format for the wire {other:?}"),
        }
    }

    fn with_action(mut self, action: ServerAction) -> Self {
        self.actions.push(action);
        self
    }

    fn end_openai(self, reason: &str) -> Self {
        let usage = json!({ "id": ID, "model": MODEL, "choices": [],
            "usage": { "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17 } });
        self.data(openai(json!({}), Some(reason))).data(usage).done()
    }

    fn start_anthropic() -> Self {
        let message = json!({ "id": ID, "type": "message", "role": "assistant", "model": MODEL, "content": [],
            "usage": { "input_tokens": 12, "output_tokens": 1 } });
        Answer::events().event("message_start", json!({ "type": "message_start", "message": message }))
    }

    fn end_anthropic(self, reason: &str) -> Self {
        let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason },
            "usage": { "output_tokens": 5 } });
        self.event("content_block_stop", json!({ "type": "content_block_stop", "index": 0 }))
            .event("message_delta", delta)
            .event("message_stop", json!({ "type": "message_stop" }))
    }
}

/// The name of the model in replies.
const MODEL: &str = "scripted-1";

/// The id of every reply.
const ID: &str = "req_scripted";

fn openai(delta: Value, finish: Option<&str>) -> Value {
    json!({ "id": ID, "model": MODEL, "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn gemini(parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts } });
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({ "responseId": ID, "modelVersion": MODEL, "candidates": [candidate],
        "usageMetadata": { "promptTokenCount": 12, "candidatesTokenCount": 5, "totalTokenCount": 17 } })
}

fn ollama_end() -> Value {
    json!({ "model": MODEL, "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop",
        "prompt_eval_count": 12, "eval_count": 5 })
}
