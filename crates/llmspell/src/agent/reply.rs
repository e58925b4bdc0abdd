//! What an agent gives back: its reply, or how far it came.

use std::fmt;

use serde::Serialize;

use super::Conversation;
use crate::error::Error;
use crate::model::Finish;
use crate::observe::usage::Usage;

/// What an agent has replied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgentReply {
    /// The answer: the words of the last turn.
    pub text: String,
    /// The whole conversation, this reply included: keep it to go on.
    pub conversation: Conversation,
    /// What was used: all turns, with attempts that failed and contenders that lost, and what tools used.
    pub usage: Usage,
    /// How often the model was asked.
    pub turns: u32,
    /// How many calls of tools were answered.
    pub tool_calls: u32,
    /// Why the last turn ended; `None` if it was stopped ([`AgentBuilder::partial`](super::AgentBuilder::partial)).
    pub finish: Option<Finish>,
    /// The model that gave the last turn, in its own words.
    pub model: Option<String>,
}

/// How far an agent had come when it failed, so that nothing that was paid for is lost.
///
/// It is the source of the agent's error: `error.downcast_ref::<Unfinished>()`; the error's own source, such as a
/// [`ModelError`](crate::model::ModelError), is still found behind it. In the conversation every call of
/// a tool has its answer, if only the one that it was cancelled: it can be continued. Where the model has had the last
/// word, as with an answer that is not of the [type](super::TypedAgent) that was asked for, continue it with a message
/// of the user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// What was said up to there.
    pub conversation: Conversation,
    /// What was used up to there.
    pub usage: Usage,
    /// How often the model was asked.
    pub turns: u32,
    /// How many calls of tools were answered.
    pub tool_calls: u32,
    /// Why it went no further.
    pub cause: Error,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (turns, calls) = (self.turns, self.tool_calls);
        write!(f, "in turn {turns}, after {calls} call{} of tools", if calls == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Unfinished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source().map(|source| source as _)
    }
}

impl Unfinished {
    /// The cause, with everything that was done until it happened as its source.
    pub(super) fn into_error(self) -> Error {
        self.cause.clone().with_source(self)
    }
}
