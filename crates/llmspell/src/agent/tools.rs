//! The tools of an agent, and how the calls of one turn are answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::ToolFailure;
use super::events::Progress;
use super::plan::Plan;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::executor::{Crew, Work};
use crate::model::{ToolAnswer, ToolCall};
use crate::step::Step;
use crate::suggest;
use crate::tool::{ErasedTool, ToolSpec};

/// The tools of an agent by their names.
pub(super) struct Tools {
    by_name: BTreeMap<String, ErasedTool>,
    specs: Arc<Vec<Arc<ToolSpec>>>,
    /// How many calls of one turn run at once.
    pub(super) limit: usize,
    pub(super) on_failure: ToolFailure,
}

impl Tools {
    /// All of `tools`, whose names are unique.
    pub(super) fn new(tools: Vec<ErasedTool>, limit: usize, on_failure: ToolFailure) -> Self {
        let specs = tools.iter().map(|tool| Arc::new(tool.spec().clone())).collect();
        let by_name = tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect();
        Tools { by_name, specs: Arc::new(specs), limit, on_failure }
    }

    pub(super) fn specs(&self) -> &Arc<Vec<Arc<ToolSpec>>> {
        &self.specs
    }

    /// The tool that is called, with its arguments; or what the model is to be told.
    fn find(&self, call: &ToolCall) -> Result<(&ErasedTool, Value), String> {
        let Some(tool) = self.by_name.get(&call.name) else {
            let hint = suggest::hint(&call.name, self.by_name.keys().map(String::as_str), "the tools are");
            return Err(format!("there is no tool `{}`; {hint}", call.name));
        };
        // Models leave out the arguments of a tool that takes none.
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        match serde_json::from_str(text) {
            Ok(arguments @ Value::Object(_)) => Ok((tool, arguments)),
            Ok(_) => Err("the arguments must be a JSON object".to_owned()),
            Err(error) => Err(format!("the arguments are not JSON: {error}")),
        }
    }
}

/// The calls of one turn while they are being answered. Every call has an answer from the beginning: until
/// there is a better one, that it was cancelled.
pub(super) struct Turn {
    answers: Vec<ToolAnswer>,
    /// Whether each call has been answered by its tool, or cannot be.
    answered: Vec<bool>,
}

impl Turn {
    pub(super) fn new(calls: &[ToolCall]) -> Self {
        let cancelled = |call: &ToolCall| ToolAnswer {
            call_id: call.id.clone(),
            name: call.name.clone(),
            text: "cancelled: this call was not made, or not to its end".to_owned(),
            is_error: true,
        };
        Turn { answers: calls.iter().map(cancelled).collect(), answered: vec![false; calls.len()] }
    }

    /// How many calls have been answered by their tools.
    pub(super) fn answered(&self) -> usize {
        self.answered.iter().filter(|answered| **answered).count()
    }

    /// An answer for each call, in the order of the calls.
    pub(super) fn into_answers(self) -> Vec<ToolAnswer> {
        self.answers
    }

    fn tell(&mut self, place: usize, text: String, is_error: bool) {
        let answer = &mut self.answers[place];
        (answer.text, answer.is_error) = (text, is_error);
        self.answered[place] = true;
    }

    /// Answers `calls`, as many at once as may be. What has been answered stays if this is dropped.
    ///
    /// # Errors
    /// The first failure of a tool, if failures end the agent; the others are answered all the same.
    pub(super) async fn run(&mut self, calls: &[ToolCall], tools: &Arc<Tools>, cx: &Context) -> Result<()> {
        let mut plan = Plan::default();
        let mut arguments: Vec<Option<Value>> = Vec::with_capacity(calls.len());
        for (place, call) in calls.iter().enumerate() {
            match tools.find(call) {
                Ok((tool, found)) => {
                    plan.add(place, &call.name, &tool.spec().concurrency, &found);
                    arguments.push(Some(found));
                }
                Err(complaint) => {
                    self.tell(place, complaint, true);
                    self.show(place, cx).await?;
                    arguments.push(None);
                }
            }
        }
        let names: Vec<_> = calls.iter().map(|call| call.name.clone()).collect();
        let mut crew = Crew::new(cx, Calls { tools: tools.clone(), names, cx: cx.clone() });
        let mut jobs = VecDeque::new();
        loop {
            while plan.running() < tools.limit
                && let Some(place) = plan.start_one()
            {
                jobs.push_back((place, arguments[place].take().unwrap_or_default()));
            }
            crew.submit(&mut jobs);
            if plan.running() == 0 {
                return Ok(());
            }
            let (place, result) = crew.next().await;
            plan.end(place);
            let failure = match result {
                Ok(output) => {
                    self.tell(place, as_text(output), false);
                    None
                }
                Err(error) => {
                    self.tell(place, complaint(&error, &tools.by_name[&calls[place].name]), true);
                    Some(error)
                }
            };
            self.show(place, cx).await?;
            match (failure, tools.on_failure) {
                (Some(error), _) if error.kind() == Kind::Cancelled && cx.is_cancelled() => return Err(error),
                (None, _) | (Some(_), ToolFailure::Tell) => {}
                (Some(_), ToolFailure::CancelSiblings) => {
                    crew.stop().await;
                    return Ok(());
                }
                (Some(error), ToolFailure::Fail) => {
                    crew.stop().await;
                    return Err(error);
                }
            }
        }
    }

    /// Shows the answer to the call at `place` to whoever watches the agent.
    async fn show(&self, place: usize, cx: &Context) -> Result<()> {
        cx.emit(Progress::Answered(&self.answers[place])).await
    }
}

/// What a model is told of a failure: what it can do something about.
fn complaint(error: &Error, tool: &ErasedTool) -> String {
    let mut text = format!("{}: {}", error.kind(), error.message());
    if let Some(hint) = error.hint() {
        text.push_str("; ");
        text.push_str(hint);
    }
    if error.kind() == Kind::Invalid {
        text.push_str(&format!("; the schema of the arguments is {}", tool.spec().parameters));
    }
    text
}

/// Words as they are, and anything else as JSON.
fn as_text(output: Value) -> String {
    match output {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The calls of a turn as jobs of a crew.
struct Calls {
    tools: Arc<Tools>,
    names: Vec<String>,
    cx: Context,
}

impl Work for Calls {
    type Job = Value;
    type Out = (usize, Result<Value>);

    async fn run(&self, place: usize, arguments: Value) -> Self::Out {
        let tool = &self.tools.by_name[&self.names[place]];
        (place, tool.run(arguments, &self.cx).await)
    }

    fn lost(&self, place: usize, error: Error) -> Self::Out {
        (place, Err(error.at(|| self.cx.path().join(&self.names[place]))))
    }
}
