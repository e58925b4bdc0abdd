//! From the events below to ours.

mod json_completion;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use genai::chat::{ChatFrameSink, ChatStreamEvent, FrameCtx, RawFrameRef, StopReason, StreamEnd, ToolCall};
use llmspell::model::{Finish, ModelEvent, ToolCallDelta};
use llmspell::observe::Usage;
use serde_json::Value;

use crate::opaque::OpaquePart;
use crate::provider::Wire;
use json_completion::JsonCompletion;

/// Values in the frames that genai does not pass on.
#[derive(Debug)]
pub(crate) struct RawFrames {
    wire: Wire,
    first: OnceLock<First>,
    /// How many had nothing in them.
    empty: AtomicUsize,
    failure: Mutex<Option<Value>>,
    /// The frame of OpenAI's that has the reason for the end.
    last: Mutex<Option<Value>>,
}

#[derive(Debug, Default)]
struct First {
    model: Option<String>,
    id: Option<String>,
    /// Why Gemini answers to the prompt with nothing.
    block_reason: Option<String>,
}

impl RawFrames {
    pub(crate) fn new(wire: Wire) -> Arc<Self> {
        let (failure, last) = (Mutex::default(), Mutex::default());
        Arc::new(RawFrames { wire, first: OnceLock::new(), empty: AtomicUsize::new(0), failure, last })
    }

    /// An error in a frame of Ollama's, which genai passes over.
    pub(crate) fn failure(&self) -> Option<Value> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The end of a reply whose server has closed the connection after the reason for it, without the `[DONE]` that
    /// genai waits for.
    pub(crate) fn end(&self) -> Option<StreamEnd> {
        let frame = self.last.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let reason = frame.pointer("/choices/0/finish_reason")?.as_str()?.to_owned();
        let captured_usage = frame.get("usage").and_then(|usage| serde::Deserialize::deserialize(usage).ok());
        Some(StreamEnd { captured_stop_reason: Some(reason.into()), captured_usage, ..StreamEnd::default() })
    }

    /// Whether the answer, which has ended, was something else than a stream of events, such as a page or a whole reply.
    ///
    /// genai shows neither content type nor body. Such an answer comes as one frame without anything in it; so does a
    /// single comment with which a server has kept the connection alive, but servers that do send several, or a reply.
    pub(crate) fn is_no_stream(&self) -> bool {
        self.first.get().is_none() && self.empty.load(Ordering::Relaxed) == 1
    }

    /// Why the prompt was refused, if it was.
    pub(crate) fn block_reason(&self) -> Option<&str> {
        self.first.get()?.block_reason.as_deref()
    }
}

impl ChatFrameSink for RawFrames {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        // A comment, or not an event.
        if frame.data.is_empty() {
            self.empty.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.first.get().is_none() {
            let json = frame.json().unwrap_or_default();
            let text =
                |places: &[&str]| places.iter().find_map(|place| Some(json.pointer(place)?.as_str()?.to_owned()));
            let _ = self.first.set(First {
                model: text(&["/model", "/message/model", "/modelVersion"]),
                id: text(&["/id", "/message/id", "/responseId"]),
                block_reason: text(&["/promptFeedback/blockReason"]),
            });
        }
        if self.wire == Wire::OpenAi && has_reason(frame.data) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = frame.json();
        }
        if self.wire == Wire::Ollama && frame.data.trim_start().starts_with("{\"error\"") {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = frame.json();
        }
    }
}

/// Whether a frame says why the reply ends, without reading all of it.
fn has_reason(frame: &str) -> bool {
    let name = "\"finish_reason\":";
    frame.find(name).is_some_and(|at| frame[at + name.len()..].trim_start().starts_with('"'))
}

/// A reply while it comes in.
pub(crate) struct ReplyDecoder {
    wire: Wire,
    provider: String,
    frames: Arc<RawFrames>,
    has_started: bool,
    has_thought: bool,
    calls: Vec<ToolCallState>,
    /// Signatures that came by themselves; some are those of calls.
    signatures: Vec<String>,
}

/// A call of a tool as far as it has been heard.
struct ToolCallState {
    id: String,
    name: String,
    /// How many bytes of its arguments have been passed on.
    passed: usize,
    /// Whether they are all there; kept on the wire of OpenAI only.
    json_completion: JsonCompletion,
    /// Whether its id and name have come once more without arguments: again, as some servers send them in every piece,
    /// or of another call that begins with no more than that.
    again: bool,
    signature: Option<String>,
}

/// Which call a piece belongs to.
enum Place {
    Known(usize),
    /// It begins one, of this id and this name.
    Begins(String, String),
}

impl ReplyDecoder {
    pub(crate) fn new(wire: Wire, provider: &str, frames: Arc<RawFrames>) -> Self {
        ReplyDecoder {
            wire,
            provider: provider.to_owned(),
            frames,
            has_started: false,
            has_thought: false,
            calls: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// Says who answers, once, as soon as anything has come.
    pub(crate) fn started(&mut self) -> Option<ModelEvent> {
        let first = self.frames.first.get()?;
        let is_first = !std::mem::replace(&mut self.has_started, true);
        is_first.then(|| ModelEvent::started(first.model.clone(), first.id.clone()))
    }

    /// The name of the request, if it is known.
    pub(crate) fn request_id(&self) -> Option<String> {
        self.frames.first.get()?.id.clone()
    }

    /// Returns the event of the core for an event of genai.
    pub(crate) fn on_event(&mut self, event: ChatStreamEvent) -> Option<ModelEvent> {
        match event {
            // The one comes before anything is sent, the other is for `end`.
            ChatStreamEvent::Start | ChatStreamEvent::End(_) => None,
            ChatStreamEvent::Chunk(chunk) => Some(ModelEvent::Text(chunk.content)),
            ChatStreamEvent::ReasoningChunk(chunk) => {
                self.has_thought = true;
                Some(ModelEvent::Reasoning(chunk.content))
            }
            ChatStreamEvent::ThoughtSignatureChunk(chunk) => {
                if self.wire == Wire::Gemini {
                    self.signatures.push(chunk.content);
                }
                Some(ModelEvent::Alive)
            }
            ChatStreamEvent::ToolCallChunk(chunk) => self.call(chunk.tool_call).map(ModelEvent::ToolCall),
            ChatStreamEvent::Heartbeat => Some(ModelEvent::Alive),
        }
    }

    /// Returns the last events of a reply, or `None` if it ended without a finish reason, which is not a valid end.
    pub(crate) fn end(&mut self, end: StreamEnd) -> Option<Vec<ModelEvent>> {
        let finish = match end.captured_stop_reason? {
            // Some say so although they wait for tools.
            StopReason::Completed(_) | StopReason::StopSequence(_) if !self.calls.is_empty() => Finish::ToolCalls,
            StopReason::Completed(_) | StopReason::StopSequence(_) => Finish::Stop,
            StopReason::ToolCall(_) => Finish::ToolCalls,
            StopReason::MaxTokens(_) => Finish::Length,
            StopReason::ContentFilter(_) => Finish::ContentFilter,
            // Some have it in every piece, and fill it in in the last.
            StopReason::Other(reason) if reason.trim().is_empty() => return None,
            // As some servers in Gemini's manner shout it.
            StopReason::Other(reason) if reason == "FUNCTION_CALL" => Finish::ToolCalls,
            StopReason::Other(reason) => Finish::Other(reason),
        };
        let mut events = Vec::new();
        if finish != Finish::Length {
            events.extend(self.empty_arguments());
        }
        events.extend(
            self.opaque_parts(end.captured_content).into_iter().map(|part| ModelEvent::Opaque(part.into_value())),
        );
        if let Some(usage) = end.captured_usage {
            let count = |tokens: Option<i32>| tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or_default();
            let usage = Usage::new(count(usage.prompt_tokens), count(usage.completion_tokens));
            if !usage.is_zero() {
                events.push(ModelEvent::Usage(usage));
            }
        }
        events.push(ModelEvent::Finish(finish));
        Some(events)
    }

    /// Adds `{}` for calls without arguments, which some wires send as an empty string: arguments must be JSON.
    fn empty_arguments(&self) -> impl Iterator<Item = ModelEvent> {
        let empty = self.calls.iter().enumerate().filter(|(_, call)| call.passed == 0);
        empty.map(|(index, _)| ModelEvent::ToolCall(ToolCallDelta::more(index, "{}")))
    }

    fn opaque_parts(&mut self, content: Option<genai::chat::MessageContent>) -> Vec<OpaquePart> {
        match self.wire {
            Wire::Anthropic => content.map(OpaquePart::by_anthropic).unwrap_or_default(),
            Wire::Gemini => {
                let of_calls: Vec<_> = self.calls.iter().map(|call| call.signature.clone()).collect();
                let alone = std::mem::take(&mut self.signatures).into_iter();
                let alone = alone.filter(|signature| !of_calls.iter().flatten().any(|other| other == signature));
                let mut opaque: Vec<_> = alone.map(|signature| OpaquePart::Gemini { signature, call: None }).collect();
                opaque.extend(of_calls.iter().enumerate().filter_map(|(index, signature)| {
                    Some(OpaquePart::Gemini { signature: signature.clone()?, call: Some(index) })
                }));
                opaque
            }
            Wire::OpenAi if self.has_thought => vec![OpaquePart::OpenAi { provider: self.provider.clone() }],
            Wire::OpenAi | Wire::Ollama => Vec::new(),
        }
    }

    /// Returns the new part of a piece of a call.
    fn call(&mut self, piece: ToolCall) -> Option<ToolCallDelta> {
        let arguments = match piece.fn_arguments {
            Value::Null => String::new(),
            Value::String(text) if matches!(self.wire, Wire::OpenAi | Wire::Anthropic) => text,
            other => other.to_string(),
        };
        let begins = || Place::Begins(piece.call_id.clone(), piece.fn_name.clone());
        let place = match self.wire {
            // Every piece is a whole call.
            Wire::Gemini | Wire::Ollama => begins(),
            Wire::Anthropic => {
                self.calls.iter().rposition(|call| call.id == piece.call_id).map_or_else(begins, Place::Known)
            }
            Wire::OpenAi => self.place(&piece.call_id, &piece.fn_name, &arguments),
        };
        let index = match place {
            Place::Known(index) => index,
            Place::Begins(id, name) => {
                let index = self.calls.len();
                // Gemini names no calls; what genai names them is not unique across pieces.
                let id = match id.rsplit_once('#') {
                    Some((stem, _)) if self.wire == Wire::Gemini => format!("{stem}#{index}"),
                    _ => id,
                };
                let mut call = ToolCallState {
                    id: id.clone(),
                    name: name.clone(),
                    passed: arguments.len(),
                    json_completion: JsonCompletion::default(),
                    again: false,
                    signature: piece.thought_signatures.and_then(|all| all.into_iter().next()),
                };
                if self.wire == Wire::OpenAi {
                    call.json_completion.add(&arguments);
                }
                self.calls.push(call);
                return Some(ToolCallDelta::begin(index, id, name).with_arguments(arguments));
            }
        };
        let call = &mut self.calls[index];
        let arguments = match self.wire {
            // Anthropic's pieces repeat all of the arguments so far.
            Wire::Anthropic => arguments.get(call.passed..).unwrap_or_default().to_owned(),
            _ => arguments,
        };
        if self.wire == Wire::OpenAi {
            call.json_completion.add(&arguments);
        }
        call.passed += arguments.len();
        let name = (call.name.is_empty() && !piece.fn_name.is_empty()).then(|| piece.fn_name.clone());
        if let Some(name) = &name {
            call.name.clone_from(name);
        }
        if arguments.is_empty() && name.is_none() {
            return None;
        }
        let mut delta = ToolCallDelta::more(index, arguments);
        delta.name = name;
        Some(delta)
    }

    /// Which call a piece of OpenAI's belongs to.
    ///
    /// The first piece has a name and an id of its own. The others have neither, and genai calls them after their
    /// index: `call_1`. (It could put the arguments together itself, but then every piece repeats all of them, and a
    /// large call takes the square of its length.)
    ///
    /// Some servers send id and name in every piece; others give all calls of a reply the same id. The index would tell
    /// the two apart, but is not handed on: a call whose arguments are all there is followed by another.
    fn place(&mut self, id: &str, name: &str, arguments: &str) -> Place {
        let is_same =
            |call: &ToolCallState| call.id == id && (name.is_empty() || call.name.is_empty() || call.name == name);
        if (name.is_empty() || !id.is_empty())
            && let Some(known) = self.calls.iter().rposition(is_same)
        {
            let call = &mut self.calls[known];
            let repeats = !name.is_empty() && call.name == name;
            if repeats && arguments.is_empty() {
                call.again = true;
            }
            let begins = arguments.trim_start().starts_with(['{', '[']);
            if (repeats || call.again) && begins && call.json_completion.is_complete() {
                return Place::Begins(id.to_owned(), call.name.clone());
            }
            return Place::Known(known);
        }
        if !name.is_empty() || self.calls.is_empty() {
            return Place::Begins(id.to_owned(), name.to_owned());
        }
        let index = id.strip_prefix("call_").and_then(|index| index.parse::<usize>().ok());
        let last = self.calls.len() - 1;
        let call = &mut self.calls[last];
        if index == Some(last + 1) && std::mem::take(&mut call.again) {
            return Place::Begins(call.id.clone(), call.name.clone());
        }
        Place::Known(index.filter(|index| *index <= last).unwrap_or(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genai::chat::ToolChunk;

    fn pieces(wire: Wire, pieces: &[(&str, &str, Value)]) -> Vec<ToolCallDelta> {
        let mut decoder = ReplyDecoder::new(wire, "p", RawFrames::new(wire));
        let mut deltas = Vec::new();
        for (id, name, arguments) in pieces {
            let tool_call = ToolCall {
                call_id: (*id).into(),
                fn_name: (*name).into(),
                fn_arguments: arguments.clone(),
                thought_signatures: None,
            };
            let event = ChatStreamEvent::ToolCallChunk(ToolChunk { tool_call });
            if let Some(ModelEvent::ToolCall(delta)) = decoder.on_event(event) {
                deltas.push(delta);
            }
        }
        deltas
    }

    fn together(deltas: &[ToolCallDelta], index: usize) -> (String, String) {
        let of_call = || deltas.iter().filter(|delta| delta.index == index);
        let name = of_call().find_map(|delta| delta.name.clone()).unwrap_or_default();
        (name, of_call().map(|delta| delta.arguments.as_str()).collect())
    }

    #[test]
    fn interleaved_calls_are_told_apart() {
        let deltas = pieces(
            Wire::OpenAi,
            &[
                ("a1", "get", "".into()),
                ("b2", "put", "{\"x\"".into()),
                ("call_0", "", "{\"y\":".into()),
                ("call_1", "", ":1}".into()),
                ("call_0", "", "2}".into()),
            ],
        );
        assert_eq!(together(&deltas, 0), ("get".into(), "{\"y\":2}".into()));
        assert_eq!(together(&deltas, 1), ("put".into(), "{\"x\":1}".into()));
    }

    #[test]
    fn calls_without_ids_and_with_repeated_ones_are_told_apart() {
        let empty_ids = pieces(
            Wire::OpenAi,
            &[("", "get", "{".into()), ("", "", "}".into()), ("", "put", "[".into()), ("", "", "]".into())],
        );
        assert_eq!(together(&empty_ids, 0).1, "{}");
        assert_eq!(together(&empty_ids, 1).1, "[]");
        let repeated = pieces(Wire::OpenAi, &[("a", "get", "{".into()), ("a", "get", "}".into())]);
        assert_eq!((together(&repeated, 0).1.as_str(), repeated.len()), ("{}", 2));
    }

    #[test]
    fn calls_of_the_same_id_are_told_apart_by_arguments_that_are_complete() {
        let complete = pieces(
            Wire::OpenAi,
            &[("a", "get", "{\"x\":\"}\"}".into()), ("a", "get", " {\"x\":".into()), ("a", "get", "2}".into())],
        );
        assert_eq!(together(&complete, 0).1, "{\"x\":\"}\"}");
        assert_eq!(together(&complete, 1), ("get".into(), " {\"x\":2}".into()));
        // Each begins with no more than its id and its name; the rest is known by the index alone.
        for first in ["{\"x\":1}", ""] {
            let deltas = pieces(
                Wire::OpenAi,
                &[
                    ("a", "get", "".into()),
                    ("call_0", "", first.into()),
                    ("a", "get", "".into()),
                    ("call_1", "", "{\"x\":".into()),
                    ("call_1", "", "2}".into()),
                ],
            );
            assert_eq!(together(&deltas, 0).1, first);
            assert_eq!(together(&deltas, 1), ("get".into(), "{\"x\":2}".into()));
        }
        let named =
            pieces(Wire::OpenAi, &[("a", "get", "".into()), ("a", "put", "[]".into()), ("a", "get", "{}".into())]);
        assert_eq!((together(&named, 0).1.as_str(), together(&named, 1).1.as_str()), ("{}", "[]"));
    }

    #[test]
    fn what_repeats_id_and_name_behind_its_arguments_begins_nothing() {
        let deltas = pieces(
            Wire::OpenAi,
            &[("a", "get", "{}".into()), ("a", "get", "".into()), ("a", "get", "\n".into()), ("a", "get", "".into())],
        );
        assert!(deltas.iter().all(|delta| delta.index == 0), "{deltas:?}");
    }

    #[test]
    fn whole_calls_are_calls_of_their_own() {
        let same = || ("call#get#0", "get", serde_json::json!({ "a": 1 }));
        let deltas = pieces(Wire::Gemini, &[same(), same()]);
        let ids: Vec<_> = deltas.iter().filter_map(|delta| delta.id.as_deref()).collect();
        assert_eq!(ids, ["call#get#0", "call#get#1"]);
    }
}
