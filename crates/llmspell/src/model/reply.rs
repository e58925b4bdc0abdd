//! What a model has replied, once it is complete.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Finish, ModelEvent, ToolCallDelta};
use super::message::{Message, ToolCall};
use crate::observe::usage::Usage;

/// The most bytes that a reply may have, all that it says, thinks and calls together: 64 MiB, some hundred times what
/// models can say. A provider that sends more is broken, and would take all memory.
pub const LARGEST_REPLY: usize = 64 << 20;

/// A complete reply of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// What it said; empty if it only called tools.
    pub text: String,
    /// What it thought, as far as the provider shows it.
    pub reasoning: String,
    /// The tools it wants called, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish: Finish,
    /// What it used; zero if the provider did not say.
    pub usage: Usage,
    /// The model that answered, in its own words.
    pub model: Option<String>,
    /// The provider's name for the request.
    pub request_id: Option<String>,
    /// What the provider wants back; see [`ModelEvent::Opaque`].
    pub opaque: Vec<Value>,
}

impl Reply {
    /// A reply in words, such as a step of your own gives in place of a model.
    pub fn new(text: impl Into<String>) -> Self {
        Reply { text: text.into(), ..Gathered::default().into_reply(Finish::Stop) }
    }

    /// The reply as a message of the conversation.
    pub fn into_message(self) -> Message {
        Message::Assistant {
            text: self.text,
            reasoning: self.reasoning,
            tool_calls: self.tool_calls,
            opaque: self.opaque,
        }
    }
}

/// A reply while it comes in.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    text: String,
    reasoning: String,
    /// By their indices.
    tool_calls: BTreeMap<usize, ToolCall>,
    usage: Usage,
    model: Option<String>,
    request_id: Option<String>,
    opaque: Vec<Value>,
    /// How many bytes there are of text, thoughts and calls.
    bytes: usize,
}

impl Gathered {
    /// Whether there is room for an event within [`LARGEST_REPLY`].
    pub(super) fn has_room_for(&mut self, event: &ModelEvent) -> bool {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += match event {
            ModelEvent::Text(text) | ModelEvent::Reasoning(text) => text.len(),
            ModelEvent::ToolCall(delta) => {
                // A call that says nothing takes room, too.
                let is_begun = self.tool_calls.contains_key(&delta.index);
                let own = if is_begun { 0 } else { size_of::<ToolCall>() };
                own + delta.arguments.len() + text(&delta.id) + text(&delta.name)
            }
            _ => 0,
        };
        self.bytes <= LARGEST_REPLY
    }

    /// What is to be added to the reply, apart from its end.
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
            // Some providers leave calls without a name of their own, or give two the same; answers need one.
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
