//! The complete reply of a model, and how events build it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Finish, ModelEvent, ToolCallDelta};
use super::message::{Message, ToolCall};
use crate::observe::usage::Usage;

/// The maximum size of a reply in bytes, with text, reasoning and tool calls: 64 MiB, about a hundred times the output
/// limit of models. A provider that sends more is broken, and would exhaust the memory.
pub const LARGEST_REPLY: usize = 64 << 20;

/// A complete reply of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// The answer; empty if the model only called tools.
    pub text: String,
    /// The reasoning, if the provider exposes it.
    pub reasoning: String,
    /// The tool calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// The reason for the end of the reply.
    pub finish: Finish,
    /// The usage; zero if the provider did not report it.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// Values that the provider needs back; see [`ModelEvent::Opaque`].
    pub opaque: Vec<Value>,
}

impl Reply {
    /// Creates a text reply, for a step that stands in for a model.
    pub fn new(text: impl Into<String>) -> Self {
        Reply { text: text.into(), ..ReplyBuilder::default().into_reply(Finish::Stop) }
    }

    /// Returns the reply as a message of the conversation.
    pub fn into_message(self) -> Message {
        Message::Assistant {
            text: self.text,
            reasoning: self.reasoning,
            tool_calls: self.tool_calls,
            opaque: self.opaque,
        }
    }
}

/// A reply while its events arrive.
#[derive(Debug, Default)]
pub(super) struct ReplyBuilder {
    text: String,
    reasoning: String,
    /// By index.
    tool_calls: BTreeMap<usize, ToolCall>,
    usage: Usage,
    model: Option<String>,
    request_id: Option<String>,
    opaque: Vec<Value>,
    /// The size of text, reasoning and tool calls.
    bytes: usize,
}

impl ReplyBuilder {
    /// Counts the size of an event. Returns whether the reply is still within [`LARGEST_REPLY`].
    pub(super) fn try_reserve(&mut self, event: &ModelEvent) -> bool {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += match event {
            ModelEvent::Text(text) | ModelEvent::Reasoning(text) => text.len(),
            ModelEvent::ToolCall(delta) => {
                // A call without content needs memory, too.
                let is_started = self.tool_calls.contains_key(&delta.index);
                let own = if is_started { 0 } else { size_of::<ToolCall>() };
                own + delta.arguments.len() + text(&delta.id) + text(&delta.name)
            }
            _ => 0,
        };
        self.bytes <= LARGEST_REPLY
    }

    /// Adds an event to the reply. The finish reason is not stored.
    pub(super) fn add(&mut self, event: &ModelEvent) {
        match event {
            ModelEvent::Text(text) => self.text.push_str(text),
            ModelEvent::Reasoning(text) => self.reasoning.push_str(text),
            ModelEvent::ToolCall(delta) => self.add_call(delta),
            ModelEvent::Usage(usage) => self.usage = *usage,
            ModelEvent::Opaque(value) => self.opaque.push(value.clone()),
            ModelEvent::Started { model, request_id } => {
                self.model.clone_from(model);
                self.request_id.clone_from(request_id);
            }
            ModelEvent::Alive | ModelEvent::Finish(_) => {}
        }
    }

    fn add_call(&mut self, delta: &ToolCallDelta) {
        let empty = || ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
        let call = self.tool_calls.entry(delta.index).or_insert_with(empty);
        if let Some(id) = &delta.id {
            call.id.clone_from(id);
        }
        if let Some(name) = &delta.name {
            call.name.clone_from(name);
        }
        call.arguments.push_str(&delta.arguments);
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    pub(super) fn into_reply(self, finish: Finish) -> Reply {
        let mut tool_calls: Vec<_> = self.tool_calls.into_values().collect();
        let mut taken = HashSet::with_capacity(tool_calls.len());
        for (index, call) in tool_calls.iter_mut().enumerate() {
            // Some providers send calls without an id, or with duplicate ids. Results need a unique one.
            let mut number = index;
            while call.id.is_empty() || !taken.insert(call.id.clone()) {
                call.id = format!("call_{number}");
                number += 1;
            }
        }
        Reply {
            text: self.text,
            reasoning: self.reasoning,
            tool_calls,
            finish,
            usage: self.usage,
            model: self.model,
            request_id: self.request_id,
            opaque: self.opaque,
        }
    }
}
