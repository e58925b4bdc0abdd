//! One run of an agent: turn after turn until the model answers or a limit is met.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::draft::Draft;
use super::events::Progress;
use super::tally::Tally;
use super::tools::Turn;
use super::{AgentReply, Conversation, Inner, Unfinished};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::model::{Finish, Message, Options, Reply, Request};
use crate::step::Step;

/// The names of the agent's own steps in paths.
pub(super) const MODEL: &str = "model";
const TOOLS: &str = "tools";

pub(super) struct Run<'a> {
    agent: &'a Inner,
    options: Arc<Options>,
    /// The system prompt, if there is one, and the conversation.
    messages: Arc<Vec<Message>>,
    tally: Arc<Tally>,
    turns: u32,
    tool_calls: u32,
    finish: Option<Finish>,
    model: Option<String>,
}

impl<'a> Run<'a> {
    /// A run with these options for every turn.
    pub(super) fn new(agent: &'a Inner, options: Arc<Options>) -> Self {
        Run {
            agent,
            options,
            messages: Arc::default(),
            tally: Arc::default(),
            turns: 0,
            tool_calls: 0,
            finish: None,
            model: None,
        }
    }

    pub(super) async fn converse(mut self, conversation: Conversation, cx: &Context) -> Result<AgentReply> {
        let system = self.agent.system.iter().map(Message::system);
        self.messages = Arc::new(system.chain(conversation.into_messages()).collect());
        let mut cx = cx.metered(self.tally.clone());
        let stretch = self.agent.deadline.map(|time| cx.stretch(time));
        if let Some(stretch) = &stretch {
            cx = cx.within(stretch);
        }
        let draft = self.agent.partial.then(|| Draft::of(cx.path().join(MODEL)));
        if let Some(draft) = &draft {
            cx = cx.watched_by(draft.clone());
        }
        let error = match self.take_turns(draft.as_deref(), &cx).await {
            Ok(text) => return Ok(self.into_reply(text, &cx)),
            Err(Stop::Failed(error)) => error,
            Err(Stop::Interrupted) => match stretch {
                Some(stretch) if cx.is_past_deadline() => cx.timed_out(&stretch),
                _ if cx.is_past_deadline() => Error::new(Kind::Timeout, "stopped by the deadline of a step around it"),
                _ => Error::new(Kind::Cancelled, "the agent was cancelled"),
            },
        };
        let error = error.at(|| cx.path());
        match draft.and_then(|draft| self.partial_text(&error, &draft)) {
            Some(text) => {
                cx.degrade(error);
                self.finish = None;
                Ok(self.into_reply(text, &cx))
            }
            None => Err(self.into_unfinished(error).into_error()),
        }
    }

    /// Turn after turn until the model answers.
    async fn take_turns(&mut self, draft: Option<&Draft>, cx: &Context) -> Result<String, Stop> {
        let tools_cx = cx.below(TOOLS);
        loop {
            self.check_limits(cx)?;
            let mut reply = self.ask(cx).await?;
            if let Some(draft) = draft {
                draft.clear();
            }
            let calls = reply.tool_calls.clone();
            (self.finish, self.model) = (Some(reply.finish.clone()), reply.model.take());
            if calls.is_empty() {
                let text = reply.text.clone();
                self.say(reply.into_message());
                return Ok(text);
            }
            self.say(reply.into_message());
            // From here on every call has an answer, whatever happens.
            let mut turn = Turn::new(&calls);
            let work = async {
                for call in &calls {
                    cx.emit(Progress::Called(call)).await?;
                }
                turn.run(&calls, &self.agent.tools, &tools_cx).await
            };
            let answered = unless_interrupted(cx, work).await;
            self.tool_calls += u32::try_from(turn.answered()).unwrap_or(u32::MAX);
            for answer in turn.into_answers() {
                self.say(Message::Tool(answer));
            }
            answered?;
        }
    }

    async fn ask(&mut self, cx: &Context) -> Result<Reply, Stop> {
        self.turns += 1;
        let request = Request::of(self.messages.clone())
            .with_tools(self.agent.tools.specs().clone())
            .with_options(self.options.clone());
        unless_interrupted(cx, self.agent.model.run(request, cx)).await
    }

    /// Adds a message. No request is on its way, so the messages are nobody else's and are not copied.
    fn say(&mut self, message: Message) {
        Arc::make_mut(&mut self.messages).push(message);
    }

    /// Whether there may be another turn.
    fn check_limits(&self, cx: &Context) -> Result<()> {
        cx.check_deadline()?;
        let (agent, used) = (self.agent, self.tally.total());
        let refused = |what: String, setter: &str| {
            Err(Error::new(Kind::Rejected, what)
                .with_hint(format!("raise `{setter}`, or answer with what there is: `partial`")))
        };
        if self.turns >= agent.max_turns {
            return refused(format!("no answer after {} turns", self.turns), "max_turns");
        }
        if let Some(max) = agent.max_tokens.filter(|max| used.tokens() >= *max) {
            return refused(format!("{} tokens used of {max}", used.tokens()), "max_tokens");
        }
        if let Some(max) = agent.max_cost.filter(|max| used.cost >= *max) {
            return refused(format!("a cost of {} of {max}", used.cost), "max_cost");
        }
        Ok(())
    }

    /// What there is to answer with if `error` is a limit that was met: the unfinished reply, or the last words
    /// before it.
    fn partial_text(&mut self, error: &Error, draft: &Draft) -> Option<String> {
        if !matches!(error.kind(), Kind::Timeout | Kind::Rejected) {
            return None;
        }
        if let Some(text) = draft.take() {
            self.say(Message::assistant(&text));
            return Some(text);
        }
        let words = |message: &Message| matches!(message, Message::Assistant { text, .. } if !text.is_empty());
        // Not what was said before this run.
        let since = self.messages.iter().rposition(|message| matches!(message, Message::User { .. }))?;
        self.messages[since..].iter().rfind(|message| words(message)).map(Message::text)
    }

    fn conversation(&mut self) -> Conversation {
        let mut messages = Arc::unwrap_or_clone(std::mem::take(&mut self.messages));
        if self.agent.system.is_some() {
            messages.remove(0);
        }
        Conversation::from(messages)
    }

    fn into_reply(mut self, text: String, cx: &Context) -> AgentReply {
        let cut = match self.finish {
            Some(Finish::Length) => Some("the answer was cut off at the number of tokens it may have"),
            Some(Finish::ContentFilter) => Some("the provider withheld the rest of the answer"),
            _ => None,
        };
        if let Some(cut) = cut {
            cx.degrade(Error::failed(cut));
        }
        AgentReply {
            text,
            conversation: self.conversation(),
            usage: self.tally.total(),
            turns: self.turns,
            tool_calls: self.tool_calls,
            finish: self.finish,
            model: self.model,
        }
    }

    fn into_unfinished(mut self, cause: Error) -> Unfinished {
        Unfinished {
            conversation: self.conversation(),
            usage: self.tally.total(),
            turns: self.turns,
            tool_calls: self.tool_calls,
            cause,
        }
    }
}

/// Why a run ends without an answer.
enum Stop {
    Failed(Error),
    /// Its time is up, or somebody cancelled it.
    Interrupted,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Drops `work` once the context is cancelled or its deadline passes, so that what was done before is kept.
async fn unless_interrupted<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T, Stop> {
    let (mut work, mut cancelled) = (pin!(work), pin!(cx.cancelled()));
    poll_fn(|task| {
        if let Poll::Ready(result) = work.as_mut().poll(task) {
            return Poll::Ready(result.map_err(Stop::Failed));
        }
        cancelled.as_mut().poll(task).map(|()| Err(Stop::Interrupted))
    })
    .await
}
