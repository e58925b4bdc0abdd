//! The event stream of a running agent.
//!
//! Translates the chunks of an agent's context into [`AgentEvent`]s. It must not influence the run, apart from
//! backpressure.

use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde_json::Value;

use super::progress::{MODEL, Progress};
use super::{Agent, AgentReply, Conversation};
use crate::context::{Chunk, ChunkData, Chunks, Context};
use crate::error::Result;
use crate::model::{ModelEvent, ToolCall, ToolResult};
use crate::path::Path;
use crate::step::Step;

/// The number of unread events from which the agent waits for the consumer.
const AHEAD: usize = 16;

/// An event of a running agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentEvent {
    /// A piece of the model's answer.
    Text(String),
    /// A piece of the model's reasoning.
    Reasoning(String),
    /// The text and reasoning of this turn so far are void: the request failed, and a retry or fallback follows.
    Restarted,
    /// The model calls a tool; the call starts as soon as limits allow.
    ToolCalled(ToolCall),
    /// A tool emits partial output.
    ToolOutput {
        /// The tool, or the step inside of it that emits the output.
        path: Path,
        /// The output.
        output: Value,
    },
    /// The partial output of a tool, or of a step inside of it, is void: it failed, and is tried again.
    ToolRestarted {
        /// The step whose output is void, together with that of all steps below it.
        path: Path,
    },
    /// A tool call has a result; in order of completion. Results of calls that the end of the agent cancelled
    /// appear only in the conversation.
    ToolAnswered(ToolResult),
    /// The agent has finished. The last event.
    Done(AgentReply),
}

/// The `Stream` of a running agent's [`AgentEvent`]s; made by [`Agent::events`].
///
/// The agent runs while its events are read, and is at most a few events ahead of the consumer. Dropping the stream
/// stops the agent, its model and its tools. A failure is the last item.
///
/// ```
/// use llmspell::Context;
/// use llmspell::agent::{Agent, AgentEvent};
/// use llmspell_test::ScriptedModel;
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

    /// Returns the next event, or `None` after the last.
    pub async fn next(&mut self) -> Option<Result<AgentEvent>> {
        std::future::poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    /// Returns the event of a chunk, or `None` for a detail that another event covers.
    fn event(&self, chunk: Chunk) -> Option<AgentEvent> {
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
                Progress::ToolCalled(call) => Some(AgentEvent::ToolCalled(call)),
                Progress::ToolAnswered(answer) => Some(AgentEvent::ToolAnswered(answer)),
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
            // A runaway tool may hold a context for a long time. Its output no longer counts.
            this.chunks.close();
        }
        loop {
            match Pin::new(&mut this.chunks).poll_next(task) {
                Poll::Pending if this.work.is_some() => return Poll::Pending,
                Poll::Ready(Some(chunk)) => {
                    if let Some(event) = this.event(chunk) {
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
