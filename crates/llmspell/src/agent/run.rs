//! One run of an agent: turn after turn until the model answers or a limit is met.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::answer_format::AnswerFormat;
use super::events::Progress;
use super::partial_reply::PartialReply;
use super::tools::Turn;
use super::usage_total::UsageTotal;
use super::{AgentReply, Conversation, Inner, Unfinished};
use crate::context::{Context, TimeLimit};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Finish, Message, Options, Reply, Request, ToolCall};
use crate::runtime::executor::catch_panic;
use crate::step::Step;

/// The names of the agent's own steps in paths.
pub(super) const MODEL: &str = "model";
const TOOLS: &str = "tools";

pub(super) struct Run<'a> {
    agent: &'a Inner,
    options: Arc<Options>,
    /// The system prompt, if there is one, and the conversation.
    messages: Arc<Vec<Message>>,
    /// How many messages there were before this run.
    began: usize,
    /// The names of all calls in the conversation: no two of them may have the same.
    call_ids: HashSet<String>,
    tally: Arc<UsageTotal>,
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
            began: 0,
            call_ids: HashSet::new(),
            tally: Arc::default(),
            turns: 0,
            tool_calls: 0,
            finish: None,
            model: None,
        }
    }

    /// Lets the model go on with the conversation until it answers in this form.
    pub(super) async fn converse<F: AnswerFormat>(
        mut self,
        conversation: Conversation,
        form: &F,
        cx: &Context,
    ) -> Result<(F::Value, AgentReply)> {
        if let Some(complaint) = conversation.complaint() {
            return Err(complaint.at(|| cx.path()));
        }
        let system = self.agent.system.iter().map(Message::system);
        self.messages = Arc::new(system.chain(conversation.into_messages()).collect());
        self.began = self.messages.len();
        self.call_ids = self.messages.iter().flat_map(Message::tool_calls).map(|call| call.id.clone()).collect();
        let mut cx = cx.with_meter(self.tally.clone());
        let stretch = self.agent.deadline.map(|time| cx.time_limit(time));
        if let Some(stretch) = &stretch {
            cx = cx.within(stretch);
        }
        let draft = self.agent.partial.then(|| PartialReply::of(cx.path().join(MODEL)));
        if let Some(draft) = &draft {
            cx = cx.with_chunk_observer(draft.clone());
        }
        let error = match self.take_turns(form, draft.as_deref(), &cx).await {
            Ok((value, text)) => return Ok((value, self.into_reply(text, &cx))),
            // Work that heard of it before the agent did.
            Err(Stop::Failed(error)) if is_of_the_clock(&error) && cx.is_cancelled() => interruption(&cx, stretch),
            Err(Stop::Failed(error)) => error,
            Err(Stop::Interrupted) => interruption(&cx, stretch),
        };
        let error = error.at(|| cx.path());
        let partial = draft.and_then(|draft| self.partial_text(&error, &draft));
        match partial.and_then(|partial| Some((form.read(&partial.text).ok()?, partial))) {
            Some((value, Partial { text, is_draft })) => {
                cx.mark_partial(error);
                if is_draft {
                    self.say(Message::assistant(&text));
                }
                self.finish = None;
                Ok((value, self.into_reply(text, &cx)))
            }
            None => Err(self.into_unfinished(error).into_error()),
        }
    }

    /// Turn after turn until the model answers in the right form.
    async fn take_turns<F: AnswerFormat>(
        &mut self,
        form: &F,
        draft: Option<&PartialReply>,
        cx: &Context,
    ) -> Result<(F::Value, String), Stop> {
        let tools_cx = cx.below(TOOLS);
        let mut is_mended = false;
        loop {
            self.check_limits(cx)?;
            let mut reply = self.ask(cx).await?;
            if let Some(draft) = draft {
                draft.clear();
            }
            self.name_calls(&mut reply.tool_calls);
            let calls = reply.tool_calls.clone();
            (self.finish, self.model) = (Some(reply.finish.clone()), reply.model.take());
            if !calls.is_empty() {
                self.say(reply.into_message());
                self.answer(&calls, cx, &tools_cx).await?;
                continue;
            }
            let text = reply.text.clone();
            self.say(reply.into_message());
            match form.read(&text) {
                Ok(value) => return Ok((value, text)),
                Err(complaint) if is_mended => return Err(form.failed(&complaint).into()),
                Err(complaint) => self.say(Message::user(form.repair_prompt(&complaint))),
            }
            is_mended = true;
        }
    }

    /// Has the calls of a turn answered: every one of them, whatever happens.
    async fn answer(&mut self, calls: &[ToolCall], cx: &Context, tools_cx: &Context) -> Result<(), Stop> {
        let mut turn = Turn::new(calls, &self.agent.tools, tools_cx);
        let work = async {
            for call in calls {
                cx.emit(Progress::Called(call)).await?;
            }
            turn.run(calls, cx).await
        };
        let result = unless_interrupted(cx, work).await;
        // A step around this one may be woken by the same deadline, and would drop what waits.
        let answers = turn.end(matches!(result, Err(Stop::Interrupted))).await;
        self.tool_calls += u32::try_from(turn.answered()).unwrap_or(u32::MAX);
        for answer in answers {
            self.say(Message::Tool(answer));
        }
        result
    }

    /// Gives calls a name of their own where the model has not: their answers would not be told apart.
    fn name_calls(&mut self, calls: &mut [ToolCall]) {
        for call in calls {
            if call.id.is_empty() {
                call.id.push_str("call");
            }
            while !self.call_ids.insert(call.id.clone()) {
                call.id = format!("{}_{}", call.id, self.call_ids.len());
            }
        }
    }

    async fn ask(&mut self, cx: &Context) -> Result<Reply, Stop> {
        self.turns += 1;
        let request = Request::of(self.messages.clone())
            .with_tools(self.agent.tools.specs().clone())
            .with_options(self.options.clone());
        unless_interrupted(cx, self.agent.model.run(request, cx)).await
    }

    /// Adds a message. No request is on its way, so the messages are nobody else's and are not copied, unless a step
    /// around the model has kept the last request.
    fn say(&mut self, message: Message) {
        Arc::make_mut(&mut self.messages).push(message);
    }

    /// Whether there may be another turn.
    fn check_limits(&self, cx: &Context) -> Result<(), Stop> {
        if cx.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        let (agent, used) = (self.agent, self.tally.total());
        let refused = |what: String, setter: &str| {
            let hint = format!("raise `{setter}`, or answer with what there is: `partial`");
            Err(Error::new(ErrorKind::Rejected, what).with_hint(hint).into())
        };
        if self.turns >= agent.max_turns {
            return refused(
                match self.turns {
                    1 => "no answer after 1 turn".to_owned(),
                    turns => format!("no answer after {turns} turns"),
                },
                "max_turns",
            );
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
    fn partial_text(&self, error: &Error, draft: &PartialReply) -> Option<Partial> {
        // A retry around the model gives up with the last of what it met.
        if !matches!(error.root_cause().kind(), ErrorKind::Timeout | ErrorKind::Rejected) {
            return None;
        }
        if let Some(text) = draft.take() {
            return Some(Partial { text, is_draft: true });
        }
        let words = |message: &Message| matches!(message, Message::Assistant { text, .. } if !text.is_empty());
        // Not what was said before this run.
        let last = self.messages[self.began..].iter().rfind(|message| words(message))?;
        Some(Partial { text: last.text(), is_draft: false })
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
            Some(Finish::ToolCalls) => Some("the model said that it calls tools, and called none"),
            Some(_) if text.is_empty() => Some("the model answered with nothing"),
            _ => None,
        };
        if let Some(cut) = cut {
            cx.mark_partial(Error::failed(cut));
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

/// What there is to answer with when a limit is met.
struct Partial {
    text: String,
    /// Whether it is from a reply that has not ended, and so in no message yet.
    is_draft: bool,
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

/// Whether it tells that the time is up, or that somebody wants it no more.
fn is_of_the_clock(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Timeout)
}

/// What a run fails with that was stopped from outside, or by its own deadline.
fn interruption(cx: &Context, stretch: Option<TimeLimit>) -> Error {
    match stretch {
        _ if !cx.is_past_deadline() => Error::new(ErrorKind::Cancelled, "the agent was cancelled"),
        Some(stretch) => cx.timeout_error(&stretch),
        None => Error::new(ErrorKind::Timeout, "its time is up: that of its step, or of a step around it"),
    }
}

/// Drops `work` once the context is cancelled or its deadline passes, so that what was done before is kept. So it
/// is if the work panics.
async fn unless_interrupted<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T, Stop> {
    let (mut work, mut cancelled) = (pin!(work), pin!(cx.cancelled()));
    poll_fn(|task| {
        match catch_panic(|| work.as_mut().poll(task)) {
            Ok(Poll::Ready(result)) => return Poll::Ready(result.map_err(Stop::Failed)),
            Err(panic) => return Poll::Ready(Err(Stop::Failed(panic))),
            Ok(Poll::Pending) => {}
        }
        // A step around this one may be woken by the same deadline, and drops it unless it is done by then.
        if cx.is_past_deadline() {
            return Poll::Ready(Err(Stop::Interrupted));
        }
        cancelled.as_mut().poll(task).map(|()| Err(Stop::Interrupted))
    })
    .await
}
