//! What a model has replied, once it is complete.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Finish, ModelEvent, ToolCallDelta};
use super::message::{Message, ToolCall};
use crate::usage::Usage;

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
    tool_calls: Vec<(usize, ToolCall)>,
    usage: Usage,
    model: Option<String>,
    request_id: Option<String>,
    opaque: Vec<Value>,
}

impl Gathered {
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
        // The pieces of one call come one after another: look from the end.
        let known = self.tool_calls.iter().rposition(|(index, _)| *index == delta.index);
        let place = known.unwrap_or_else(|| {
            let empty = ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
            self.tool_calls.push((delta.index, empty));
            self.tool_calls.len() - 1
        });
        let (_, call) = &mut self.tool_calls[place];
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

    pub(super) fn into_reply(mut self, finish: Finish) -> Reply {
        self.tool_calls.sort_by_key(|(index, _)| *index);
        let mut tool_calls: Vec<_> = self.tool_calls.into_iter().map(|(_, call)| call).collect();
        for index in 0..tool_calls.len() {
            // Some providers leave calls without a name of their own, or give two the same; answers need one.
            let is_taken = tool_calls[..index].iter().any(|earlier| earlier.id == tool_calls[index].id);
            if tool_calls[index].id.is_empty() || is_taken {
                tool_calls[index].id = format!("call_{index}");
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
