//! The conversation of an agent: plain data that the caller keeps, stores and continues.
//!
//! It owns the messages, how to trim them, and the check that a model can continue them.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{Content, Image, Message};

/// A conversation: the input of an [`Agent`](super::Agent), and, with the new messages, part of its reply.
///
/// It is plain data: it can be stored as JSON and continued later, by another agent or model. A clone shares its
/// messages until one of the two is changed. The system prompt of an agent is not part of it.
///
/// ```
/// use llmspell::agent::Conversation;
///
/// let mut talk = Conversation::from("What is a monad?");
/// talk.user("In one sentence, please.");
/// let stored = serde_json::to_string(&talk)?;
/// assert_eq!(serde_json::from_str::<Conversation>(&stored)?, talk);
/// # Ok::<(), llmspell::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    messages: Arc<Vec<Message>>,
}

impl Conversation {
    /// Creates an empty conversation.
    pub fn new() -> Self {
        Conversation::default()
    }

    /// Returns the messages, oldest first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a text message of the user.
    pub fn user(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Message::user(text))
    }

    /// Adds a message of the user with text and an image.
    pub fn image(&mut self, text: impl Into<String>, image: Image) -> &mut Self {
        self.push(Message::User { content: vec![Content::Text(text.into()), Content::Image(image)] })
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) -> &mut Self {
        Arc::make_mut(&mut self.messages).push(message);
        self
    }

    /// Returns whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns an estimate of its tokens: one for every four bytes of text, and 1,000 for an image.
    /// For an exact count, use the provider's tokenizer with [`Conversation::trim_by`].
    pub fn estimated_tokens(&self) -> u64 {
        self.messages.iter().map(estimate).sum()
    }

    /// Removes the oldest exchanges until the rest is [estimated](Conversation::estimated_tokens) to have at
    /// most `max_tokens` tokens. Returns the number of removed messages.
    ///
    /// An exchange is one or more messages of the user and all messages up to the user's next one. So a tool call is never
    /// separated from its result. System messages and the last exchange stay, even if they alone are longer.
    ///
    /// ```
    /// use llmspell::agent::Conversation;
    /// use llmspell::model::Message;
    ///
    /// let mut talk = Conversation::from("An old question, and a rather long one at that.");
    /// talk.push(Message::assistant("An old answer.")).user("The newest question.");
    /// assert_eq!(talk.trim(10), 2);
    /// assert_eq!(talk.messages(), [Message::user("The newest question.")]);
    /// ```
    pub fn trim(&mut self, max_tokens: u64) -> usize {
        self.trim_by(max_tokens, estimate)
    }

    /// Like [`Conversation::trim`], with a custom token counter.
    pub fn trim_by(&mut self, max_tokens: u64, tokens_of: impl Fn(&Message) -> u64) -> usize {
        let tokens: Vec<u64> = self.messages.iter().map(tokens_of).collect();
        let mut total: u128 = tokens.iter().map(|tokens| u128::from(*tokens)).sum();
        let is_system = |index: usize| matches!(self.messages[index], Message::System { .. });
        let mut is_removed = vec![false; self.messages.len()];
        let mut at = 0;
        for start in self.exchanges() {
            if total <= u128::from(max_tokens) {
                break;
            }
            // Everything before `start`. At the last start, that is everything except the last exchange.
            for index in (at..start).filter(|index| !is_system(*index)) {
                is_removed[index] = true;
                total -= u128::from(tokens[index]);
            }
            at = start;
        }
        let before = self.messages.len();
        if is_removed.contains(&true) {
            let mut is_removed = is_removed.into_iter();
            Arc::make_mut(&mut self.messages).retain(|_| !is_removed.next().unwrap_or_default());
        }
        before - self.messages.len()
    }

    /// Returns the index of each exchange's first message.
    fn exchanges(&self) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut is_users_turn = false;
        for (index, message) in self.messages.iter().enumerate() {
            match message {
                Message::System { .. } => {}
                Message::User { .. } if is_users_turn => {}
                Message::User { .. } => {
                    is_users_turn = true;
                    starts.push(index);
                }
                _ => is_users_turn = false,
            }
        }
        starts
    }

    /// Returns the reason why no model can continue the conversation, if there is one: it is empty, it is not the
    /// model's turn, or a tool call and its result have been separated.
    pub(super) fn problem(&self) -> Option<Error> {
        let problem = |message: String, hint: &'static str| Some(Error::invalid(message).with_hint(hint));
        match self.messages.iter().rfind(|message| !matches!(message, Message::System { .. })) {
            None => return problem("the conversation is empty".into(), "add a message with `user`"),
            Some(Message::Assistant { tool_calls, .. }) if tool_calls.is_empty() => {
                let message = "the last message of the conversation is an answer of the model";
                return problem(message.into(), "add the user's next message with `user`");
            }
            Some(_) => {}
        }
        const HINT: &str = "add the result of every tool call before the next message";
        let mut open: VecDeque<&str> = VecDeque::new();
        for message in self.messages.iter() {
            if let Message::Tool(answer) = message {
                match open.iter().position(|id| *id == answer.call_id) {
                    Some(index) => drop(open.remove(index)),
                    None => return problem(format!("result of the unknown tool call `{}`", answer.call_id), HINT),
                }
            } else if !open.is_empty() {
                break;
            }
            open.extend(message.tool_calls().iter().map(|call| call.id.as_str()));
        }
        let id = open.front()?;
        problem(format!("the tool call `{id}` has no result"), HINT)
    }

    pub(super) fn into_messages(self) -> Vec<Message> {
        Arc::unwrap_or_clone(self.messages)
    }
}

fn estimate(message: &Message) -> u64 {
    let bytes = |text: &str| text.len();
    let (bytes, images) = match message {
        Message::System { text } => (bytes(text), 0),
        Message::User { content } => {
            let text = content.iter().filter_map(Content::as_text).map(str::len).sum();
            (text, content.iter().filter(|part| part.as_text().is_none()).count() as u64)
        }
        Message::Assistant { text, reasoning, tool_calls, .. } => {
            let calls: usize = tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            (text.len() + reasoning.len() + calls, 0)
        }
        Message::Tool(answer) => (answer.name.len() + answer.text.len(), 0),
    };
    bytes.div_ceil(4) as u64 + 1_000 * images
}

impl From<&str> for Conversation {
    fn from(prompt: &str) -> Self {
        Conversation::from(Message::user(prompt))
    }
}

impl From<String> for Conversation {
    fn from(prompt: String) -> Self {
        Conversation::from(Message::user(prompt))
    }
}

impl From<Message> for Conversation {
    fn from(message: Message) -> Self {
        Conversation::from(vec![message])
    }
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Self {
        Conversation { messages: Arc::new(messages) }
    }
}
