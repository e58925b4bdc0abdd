//! What an agent does, as it does it.

use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run::MODEL;
use super::{Agent, AgentReply, Conversation};
use crate::context::{Chunk, ChunkData, Chunks, Context};
use crate::error::Result;
use crate::model::{ModelEvent, ToolCall, ToolResult};
use crate::path::Path;
use crate::step::Step;

/// How many events wait for their reader before the agent does.
const AHEAD: usize = 16;

/// One thing that an agent does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentEvent {
    /// The model says something.
    Text(String),
    /// The model thinks something.
    Reasoning(String),
    /// What was said in this turn no longer counts: it failed, and the model is asked again, or another one is.
    Restarted,
    /// The model calls a tool; the call begins as soon as it may.
    ToolCalled(ToolCall),
    /// A tool shows something while it works.
    ToolOutput {
        /// The tool, or the step inside of it that shows it.
        path: Path,
        /// What it shows.
        output: Value,
    },
    /// What a tool, or a step inside of it, has shown no longer counts: it failed, and is tried again.
    ToolRestarted {
        /// Whose output it was, with all below it.
        path: Path,
    },
    /// A call of a tool has been answered; in the order in which they are done. Of calls that are cut off by the end
    /// of the agent, only the conversation tells.
    ToolAnswered(ToolResult),
    /// The agent is done. The last event.
    Done(AgentReply),
}

/// What an agent shows of itself as partial output, in the JSON form of [`AgentEvent`].
#[derive(Serialize)]
pub(super) enum Progress<'a> {
    #[serde(rename = "tool_called")]
    Called(&'a ToolCall),
    #[serde(rename = "tool_answered")]
    Answered(&'a ToolResult),
}

impl From<Progress<'_>> for Value {
    fn from(progress: Progress<'_>) -> Value {
        serde_json::to_value(progress).unwrap_or_default()
    }
}

/// The same, as it is read again.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    ToolCalled(ToolCall),
    ToolAnswered(ToolResult),
}

/// What an agent does, as it does it: a `Stream` of [`AgentEvent`]s; made by [`Agent::events`].
///
/// The agent runs while the events are read, and gets no more than a few of them ahead. Dropping them stops it,
/// its model and its tools. A failure is the last item.
///
/// ```
/// use llmspell::Context;
/// use llmspell::agent::{Agent, AgentEvent};
/// use llmspell::model::ScriptedModel;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let agent = Agent::builder(ScriptedModel::new("demo").says("All is well.")).build()?;
/// let mut events = agent.events("How are things?", &Context::new());
/// while let Some(event) = events.next().await {
///     match event? {
///         AgentEvent::Text(text) => print!("{text}"),
///         AgentEvent::Done(reply) => assert_eq!(reply.text, "All is well."),
///         _ => {}
///     }
/// }
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[must_use = "an agent does nothing until its events are read"]
pub struct AgentEvents {
    work: Option<Pin<Box<dyn Future<Output = Result<AgentReply>> + Send>>>,
    result: Option<Result<AgentReply>>,
    chunks: Chunks,
    agent: Path,
    model: Path,
}

impl AgentEvents {
    pub(super) fn new(agent: Agent, conversation: Conversation, cx: &Context) -> Self {
        let path = cx.path();
        let model = path.join(MODEL);
        let (cx, chunks) = cx.with_chunks(AHEAD);
        let work = Box::pin(async move { agent.run(conversation, &cx).await });
        AgentEvents { work: Some(work), result: None, chunks, agent: path, model }
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<AgentEvent>> {
        std::future::poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    /// What a chunk tells; `None` if it is a detail that is told otherwise.
    fn read(&self, chunk: Chunk) -> Option<AgentEvent> {
        let is_model = chunk.path.is_within(&self.model);
        let data = match chunk.data {
            ChunkData::Restarted if is_model => return Some(AgentEvent::Restarted),
            ChunkData::Restarted => return Some(AgentEvent::ToolRestarted { path: chunk.path }),
            ChunkData::Output(data) => data,
        };
        if is_model {
            return match serde_json::from_value(data).ok()? {
                ModelEvent::Text(text) => Some(AgentEvent::Text(text)),
                ModelEvent::Reasoning(text) => Some(AgentEvent::Reasoning(text)),
                _ => None,
            };
        }
        if chunk.path == self.agent {
            return match serde_json::from_value(data).ok()? {
                Shown::ToolCalled(call) => Some(AgentEvent::ToolCalled(call)),
                Shown::ToolAnswered(answer) => Some(AgentEvent::ToolAnswered(answer)),
            };
        }
        Some(AgentEvent::ToolOutput { path: chunk.path, output: data })
    }
}

impl Stream for AgentEvents {
    type Item = Result<AgentEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(work) = &mut this.work
            && let Poll::Ready(result) = work.as_mut().poll(task)
        {
            this.work = None;
            this.result = Some(result);
            // A runaway of a tool may hold a context for long: it has nothing to add.
            this.chunks.close();
        }
        loop {
            match Pin::new(&mut this.chunks).poll_next(task) {
                Poll::Pending if this.work.is_some() => return Poll::Pending,
                Poll::Ready(Some(chunk)) => {
                    if let Some(event) = this.read(chunk) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                }
                Poll::Pending | Poll::Ready(None) => {
                    return Poll::Ready(this.result.take().map(|result| result.map(AgentEvent::Done)));
                }
            }
        }
    }
}

impl fmt::Debug for AgentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentEvents").field("path", &self.agent).finish_non_exhaustive()
    }
}
