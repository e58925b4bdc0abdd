//! The results of an agent: its reply, or the state in which it failed.

use std::fmt;

use serde::Serialize;

use super::Conversation;
use crate::error::Error;
use crate::model::Finish;
use crate::observe::usage::Usage;

/// The reply of an agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgentReply {
    /// The answer: the text of the last turn.
    pub text: String,
    /// The whole conversation, including this reply. Keep it to continue.
    pub conversation: Conversation,
    /// The usage of all turns, including failed attempts, losing contenders and tools.
    pub usage: Usage,
    /// The number of requests to the model, not counting retries.
    pub turns: u32,
    /// The number of tool calls that finished.
    pub tool_calls: u32,
    /// Why the last turn ended; `None` if it was stopped ([`AgentBuilder::partial`](super::AgentBuilder::partial)).
    pub finish: Option<Finish>,
    /// The model of the last turn, as the provider names it.
    pub model: Option<String>,
}

/// The state of an agent when it failed, so that no paid work is lost.
///
/// It is the source of the agent's error: `error.downcast_ref::<Unfinished>()`. The error's own source, such as a
/// [`ModelError`](crate::model::ModelError), is the source of this.
///
/// The conversation can be continued: every tool call in it has a result, even if only that it was cancelled. If the
/// last message is the model's, such as an answer of the wrong [type](super::TypedAgent), add a message of the user
/// first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// The conversation up to the failure.
    pub conversation: Conversation,
    /// The usage up to the failure.
    pub usage: Usage,
    /// The number of requests to the model, not counting retries.
    pub turns: u32,
    /// The number of tool calls that finished.
    pub tool_calls: u32,
    /// The cause of the failure.
    pub cause: Error,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (turns, calls) = (self.turns, self.tool_calls);
        write!(f, "in turn {turns}, after {calls} tool call{}", if calls == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Unfinished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source().map(|source| source as _)
    }
}

impl Unfinished {
    /// Returns the cause, with this state as its source.
    pub(super) fn into_error(self) -> Error {
        self.cause.clone().with_source(self)
    }
}
