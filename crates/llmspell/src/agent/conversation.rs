//! What has been said: a value that its owner keeps, stores and continues.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{Content, Image, Message};

/// A conversation: what goes into an [`Agent`](super::Agent), and comes back longer.
///
/// It is plain data, so it can be stored as JSON and continued another day, by another agent or model. A clone
/// shares its messages until one of the two is changed. The system prompt of an agent is not part of it.
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
    /// One in which nothing has been said yet.
    pub fn new() -> Self {
        Conversation::default()
    }

    /// What has been said, oldest first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds words of the user.
    pub fn user(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Message::user(text))
    }

    /// Adds a picture of the user's, with words to it.
    pub fn image(&mut self, text: impl Into<String>, image: Image) -> &mut Self {
        self.push(Message::User { content: vec![Content::Text(text.into()), Content::Image(image)] })
    }

    /// Adds a message of any kind.
    pub fn push(&mut self, message: Message) -> &mut Self {
        Arc::make_mut(&mut self.messages).push(message);
        self
    }

    /// Whether nothing has been said.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Roughly how many tokens a model reads it as: a token for four bytes of text, and 1,000 for a picture.
    /// For an exact count ask the provider's own tokenizer, and see [`Conversation::trim_by`].
    pub fn estimated_tokens(&self) -> u64 {
        self.messages.iter().map(estimate).sum()
    }

    /// Forgets the oldest exchanges until the rest is [estimated](Conversation::estimated_tokens) to have at
    /// most so many tokens; says how many messages that were.
    ///
    /// An exchange is what the user said, in one message or several, and everything up to where they speak again, so
    /// a call of a tool is never parted from its answer. System messages and the last exchange stay, also if they alone are longer.
    ///
    /// ```
    /// use llmspell::agent::Conversation;
    /// use llmspell::Message;
    ///
    /// let mut talk = Conversation::from("An old question, and a rather long one at that.");
    /// talk.push(Message::assistant("An old answer.")).user("The newest question.");
    /// assert_eq!(talk.trim(10), 2);
    /// assert_eq!(talk.messages(), [Message::user("The newest question.")]);
    /// ```
    pub fn trim(&mut self, max_tokens: u64) -> usize {
        self.trim_by(max_tokens, estimate)
    }

    /// As [`Conversation::trim`], with a counter of your own for the tokens of a message.
    pub fn trim_by(&mut self, max_tokens: u64, tokens_of: impl Fn(&Message) -> u64) -> usize {
        let tokens: Vec<u64> = self.messages.iter().map(tokens_of).collect();
        let mut total: u128 = tokens.iter().map(|tokens| u128::from(*tokens)).sum();
        let is_system = |index: usize| matches!(self.messages[index], Message::System { .. });
        let mut forget = vec![false; self.messages.len()];
        let mut at = 0;
        for start in self.exchanges() {
            if total <= u128::from(max_tokens) {
                break;
            }
            // All before it; at the last start, that is all but the last exchange.
            for index in (at..start).filter(|index| !is_system(*index)) {
                forget[index] = true;
                total -= u128::from(tokens[index]);
            }
            at = start;
        }
        let before = self.messages.len();
        if forget.contains(&true) {
            let mut forget = forget.into_iter();
            Arc::make_mut(&mut self.messages).retain(|_| !forget.next().unwrap_or_default());
        }
        before - self.messages.len()
    }

    /// Where the user begins to speak.
    fn exchanges(&self) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut users_turn = false;
        for (index, message) in self.messages.iter().enumerate() {
            match message {
                Message::System { .. } => {}
                Message::User { .. } if users_turn => {}
                Message::User { .. } => {
                    users_turn = true;
                    starts.push(index);
                }
                _ => users_turn = false,
            }
        }
        starts
    }

    /// Why no model can go on with this, if none can: nobody has said anything, it is not the model's turn, or a
    /// call of a tool and its answer have been parted.
    pub(super) fn complaint(&self) -> Option<Error> {
        let complaint = |what: String, hint: &'static str| Some(Error::invalid(what).with_hint(hint));
        match self.messages.iter().rfind(|message| !matches!(message, Message::System { .. })) {
            None => return complaint("the conversation is empty".into(), "say something with `user`"),
            Some(Message::Assistant { tool_calls, .. }) if tool_calls.is_empty() => {
                let what = "the last word of the conversation is the model's own";
                return complaint(what.into(), "add what the user says to it with `user`");
            }
            Some(_) => {}
        }
        const PARTED: &str = "every call of a tool is followed by its answer before anybody speaks again";
        let mut open: VecDeque<&str> = VecDeque::new();
        for message in self.messages.iter() {
            if let Message::Tool(answer) = message {
                match open.iter().position(|id| *id == answer.call_id) {
                    Some(place) => drop(open.remove(place)),
                    None => return complaint(format!("nobody has made the call `{}`", answer.call_id), PARTED),
                }
            } else if !open.is_empty() {
                break;
            }
            open.extend(message.tool_calls().iter().map(|call| call.id.as_str()));
        }
        let id = open.front()?;
        complaint(format!("the call `{id}` has no answer"), PARTED)
    }

    pub(super) fn into_messages(self) -> Vec<Message> {
        Arc::unwrap_or_clone(self.messages)
    }
}

fn estimate(message: &Message) -> u64 {
    let bytes = |text: &str| text.len();
    let (bytes, pictures) = match message {
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
    bytes.div_ceil(4) as u64 + 1_000 * pictures
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
