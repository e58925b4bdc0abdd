//! One run of an agent: turn after turn until the model answers or a limit is met.

use std::collections::HashSet;
use std::sync::Arc;

use super::answer_format::AnswerFormat;
use super::interrupt::{RunStop, interruption, is_interruption, unless_interrupted};
use super::partial_reply::PartialReply;
use super::progress::{MODEL, ProgressRef, TOOLS};
use super::tools::TurnCalls;
use super::usage_total::UsageTotal;
use super::{AgentConfig, AgentReply, Conversation, Unfinished};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Finish, Message, Options, Reply, Request, ToolCall};
use crate::step::Step;

/// The state of one run.
pub(super) struct Run<'a> {
    agent: &'a AgentConfig,
    options: Arc<Options>,
    /// The system prompt, if there is one, and the conversation.
    messages: Arc<Vec<Message>>,
    /// The number of messages before this run.
    initial_len: usize,
    /// The ids of all tool calls in the conversation: they must be unique.
    call_ids: HashSet<String>,
    usage_total: Arc<UsageTotal>,
    turns: u32,
    tool_calls: u32,
    finish: Option<Finish>,
    model: Option<String>,
}

impl<'a> Run<'a> {
    /// Creates a run with these options for every turn.
    pub(super) fn new(agent: &'a AgentConfig, options: Arc<Options>) -> Self {
        Run {
            agent,
            options,
            messages: Arc::default(),
            initial_len: 0,
            call_ids: HashSet::new(),
            usage_total: Arc::default(),
            turns: 0,
            tool_calls: 0,
            finish: None,
            model: None,
        }
    }

    /// Continues the conversation until the model answers in this format.
    pub(super) async fn run_conversation<F: AnswerFormat>(
        mut self,
        conversation: Conversation,
        format: &F,
        cx: &Context,
    ) -> Result<(F::Value, AgentReply)> {
        if let Some(problem) = conversation.problem() {
            return Err(problem.at(|| cx.path()));
        }
        let system = self.agent.system.iter().map(Message::system);
        self.messages = Arc::new(system.chain(conversation.into_messages()).collect());
        self.initial_len = self.messages.len();
        self.call_ids = self.messages.iter().flat_map(Message::tool_calls).map(|call| call.id.clone()).collect();
        let mut cx = cx.with_meter(self.usage_total.clone());
        let time_limit = self.agent.deadline.map(|time| cx.time_limit(time));
        if let Some(time_limit) = &time_limit {
            cx = cx.within(time_limit);
        }
        let partial_reply = self.agent.partial.then(|| PartialReply::of(cx.path().join(MODEL)));
        if let Some(partial_reply) = &partial_reply {
            cx = cx.with_chunk_observer(partial_reply.clone());
        }
        let error = match self.run_turns(format, partial_reply.as_deref(), &cx).await {
            Ok((value, text)) => return Ok((value, self.into_reply(text, &cx))),
            // The work noticed the interruption before the agent did.
            Err(RunStop::Failed(error)) if is_interruption(&error) && cx.is_cancelled() => {
                interruption(&cx, time_limit)
            }
            Err(RunStop::Failed(error)) => error,
            Err(RunStop::Interrupted) => interruption(&cx, time_limit),
        };
        let error = error.at(|| cx.path());
        let partial = partial_reply.and_then(|partial_reply| self.partial_text(&error, &partial_reply));
        match partial.and_then(|partial| Some((format.parse(&partial.text).ok()?, partial))) {
            Some((value, Partial { text, is_unfinished })) => {
                cx.mark_partial(error);
                if is_unfinished {
                    self.push_message(Message::assistant(&text));
                }
                self.finish = None;
                Ok((value, self.into_reply(text, &cx)))
            }
            None => Err(self.into_unfinished(error).into_error()),
        }
    }

    /// Runs turns until the model answers in the right format.
    async fn run_turns<F: AnswerFormat>(
        &mut self,
        format: &F,
        partial_reply: Option<&PartialReply>,
        cx: &Context,
    ) -> Result<(F::Value, String), RunStop> {
        let tools_cx = cx.below(TOOLS);
        let mut is_repaired = false;
        loop {
            self.check_limits(cx)?;
            let mut reply = self.call_model(cx).await?;
            if let Some(partial_reply) = partial_reply {
                partial_reply.clear();
            }
            self.assign_call_ids(&mut reply.tool_calls);
            let calls = reply.tool_calls.clone();
            (self.finish, self.model) = (Some(reply.finish.clone()), reply.model.take());
            if !calls.is_empty() {
                self.push_message(reply.into_message());
                self.answer(&calls, cx, &tools_cx).await?;
                continue;
            }
            let text = reply.text.clone();
            self.push_message(reply.into_message());
            match format.parse(&text) {
                Ok(value) => return Ok((value, text)),
                Err(problem) if is_repaired => return Err(format.failed(&problem).into()),
                Err(problem) => self.push_message(Message::user(format.repair_prompt(&problem))),
            }
            is_repaired = true;
        }
    }

    /// Runs the calls of a turn, and adds a result for every one of them, whatever happens.
    async fn answer(&mut self, calls: &[ToolCall], cx: &Context, tools_cx: &Context) -> Result<(), RunStop> {
        let mut turn = TurnCalls::new(calls, &self.agent.tools, tools_cx);
        let work = async {
            for call in calls {
                cx.emit(ProgressRef::Called(call)).await?;
            }
            turn.run(calls, cx).await
        };
        let result = unless_interrupted(cx, work).await;
        // A step around this one may be woken by the same deadline, and would drop a future that waits.
        let answers = turn.finish(matches!(result, Err(RunStop::Interrupted))).await;
        self.tool_calls += u32::try_from(turn.finished()).unwrap_or(u32::MAX);
        for answer in answers {
            self.push_message(Message::Tool(answer));
        }
        result
    }

    /// Gives calls a unique id where the model has not: without it, their results could not be assigned.
    fn assign_call_ids(&mut self, calls: &mut [ToolCall]) {
        for call in calls {
            if call.id.is_empty() {
                call.id.push_str("call");
            }
            while !self.call_ids.insert(call.id.clone()) {
                call.id = format!("{}_{}", call.id, self.call_ids.len());
            }
        }
    }

    async fn call_model(&mut self, cx: &Context) -> Result<Reply, RunStop> {
        self.turns += 1;
        let request = Request::of(self.messages.clone())
            .with_tools(self.agent.tools.specs().clone())
            .with_options(self.options.clone());
        unless_interrupted(cx, self.agent.model.run(request, cx)).await
    }

    /// Adds a message. No request is in flight, so the messages are not shared and not copied here, unless a step around
    /// the model has kept the last request.
    fn push_message(&mut self, message: Message) {
        Arc::make_mut(&mut self.messages).push(message);
    }

    /// Returns an error if a limit forbids another turn.
    fn check_limits(&self, cx: &Context) -> Result<(), RunStop> {
        if cx.is_cancelled() {
            return Err(RunStop::Interrupted);
        }
        let (agent, used) = (self.agent, self.usage_total.total());
        let rejected = |message: String, setter: &str| {
            let hint = format!("raise `{setter}`, or accept a partial answer with `partial`");
            Err(Error::new(ErrorKind::Rejected, message).with_hint(hint).into())
        };
        if self.turns >= agent.max_turns {
            return rejected(
                match self.turns {
                    1 => "no answer after 1 turn".to_owned(),
                    turns => format!("no answer after {turns} turns"),
                },
                "max_turns",
            );
        }
        if let Some(max) = agent.max_tokens.filter(|max| used.tokens() >= *max) {
            return rejected(format!("{} tokens used of {max}", used.tokens()), "max_tokens");
        }
        if let Some(max) = agent.max_cost.filter(|max| used.cost >= *max) {
            return rejected(format!("a cost of {} of {max}", used.cost), "max_cost");
        }
        Ok(())
    }

    /// Returns the partial answer if `error` is a limit that was reached: the text of the unfinished reply, or else the
    /// last text of this run.
    fn partial_text(&self, error: &Error, partial_reply: &PartialReply) -> Option<Partial> {
        // A retry around the model stops with its last error, which is then the root cause.
        if !matches!(error.root_cause().kind(), ErrorKind::Timeout | ErrorKind::Rejected) {
            return None;
        }
        if let Some(text) = partial_reply.take() {
            return Some(Partial { text, is_unfinished: true });
        }
        let has_text = |message: &Message| matches!(message, Message::Assistant { text, .. } if !text.is_empty());
        // Only messages of this run.
        let last = self.messages[self.initial_len..].iter().rfind(|message| has_text(message))?;
        Some(Partial { text: last.text(), is_unfinished: false })
    }

    fn conversation(&mut self) -> Conversation {
        let mut messages = Arc::unwrap_or_clone(std::mem::take(&mut self.messages));
        if self.agent.system.is_some() {
            messages.remove(0);
        }
        Conversation::from(messages)
    }

    fn into_reply(mut self, text: String, cx: &Context) -> AgentReply {
        let defect = match self.finish {
            Some(Finish::Length) => Some("the answer was cut off at `max_tokens`"),
            Some(Finish::ContentFilter) => Some("the provider withheld the rest of the answer"),
            Some(Finish::ToolCalls) => Some("the model announced tool calls, but made none"),
            Some(_) if text.is_empty() => Some("the model's answer is empty"),
            _ => None,
        };
        if let Some(defect) = defect {
            cx.mark_partial(Error::failed(defect));
        }
        AgentReply {
            text,
            conversation: self.conversation(),
            usage: self.usage_total.total(),
            turns: self.turns,
            tool_calls: self.tool_calls,
            finish: self.finish,
            model: self.model,
        }
    }

    fn into_unfinished(mut self, cause: Error) -> Unfinished {
        Unfinished {
            conversation: self.conversation(),
            usage: self.usage_total.total(),
            turns: self.turns,
            tool_calls: self.tool_calls,
            cause,
        }
    }
}

/// The answer when a limit is reached.
struct Partial {
    text: String,
    /// Whether the text is from an unfinished reply, and so not in a message yet.
    is_unfinished: bool,
}
