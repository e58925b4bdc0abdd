//! The tools of an agent, and how the calls of one turn are answered.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use serde_json::Value;

use super::ToolFailure;
use super::call_schedule::CallSchedule;
use super::events::Progress;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ToolCall, ToolResult};
use crate::runtime::executor::{PoolTask, WorkerPool};
use crate::step::Step;
use crate::suggest;
use crate::tool::{DynTool, ToolSpec, is_of_the_caller};

/// The tools of an agent by their names.
pub(super) struct Tools {
    by_name: BTreeMap<String, DynTool>,
    specs: Arc<Vec<Arc<ToolSpec>>>,
    /// How many calls of one turn run at once.
    pub(super) limit: usize,
    pub(super) on_failure: ToolFailure,
}

impl Tools {
    /// All of `tools`, whose names are unique.
    pub(super) fn new(tools: Vec<DynTool>, limit: usize, on_failure: ToolFailure) -> Self {
        let specs = tools.iter().map(|tool| Arc::new(tool.spec().clone())).collect();
        let by_name = tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect();
        Tools { by_name, specs: Arc::new(specs), limit, on_failure }
    }

    pub(super) fn specs(&self) -> &Arc<Vec<Arc<ToolSpec>>> {
        &self.specs
    }

    /// The tool that is called, with its arguments; or what the model is to be told.
    fn find(&self, call: &ToolCall) -> Result<(&DynTool, Value), String> {
        let Some(tool) = self.by_name.get(&call.name) else {
            let names = self.by_name.keys().map(String::as_str);
            let hint = match self.by_name.len() {
                0 => "there are none".to_owned(),
                _ => suggest::hint(&call.name, names, "the tools are"),
            };
            return Err(format!("error: there is no tool `{}`; {hint}", call.name));
        };
        // Models leave out the arguments of a tool that takes none.
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        match serde_json::from_str(text) {
            Ok(arguments @ Value::Object(_)) => Ok((tool, arguments)),
            Ok(_) => Err(unfit("error: the arguments must be a JSON object", tool)),
            Err(error) => Err(unfit(&format!("error: the arguments are not JSON: {error}"), tool)),
        }
    }
}

/// The calls of one turn while they are being answered. Every call has an answer from the beginning: until
/// there is a better one, that it was cancelled.
pub(super) struct Turn {
    tools: Arc<Tools>,
    answers: Vec<ToolResult>,
    /// Whether each call has been answered by its tool, or cannot be.
    answered: Vec<bool>,
    pool: WorkerPool<Calls>,
}

impl Turn {
    pub(super) fn new(calls: &[ToolCall], tools: &Arc<Tools>, cx: &Context) -> Self {
        let cancelled = |call: &ToolCall| ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            text: "cancelled: this call was not made, or nobody waited for its end".to_owned(),
            is_error: true,
        };
        let names = calls.iter().map(|call| call.name.clone()).collect();
        Turn {
            tools: tools.clone(),
            answers: calls.iter().map(cancelled).collect(),
            answered: vec![false; calls.len()],
            pool: WorkerPool::new(cx, Calls { tools: tools.clone(), names, cx: cx.clone() }),
        }
    }

    /// How many calls have been answered by their tools, or cannot be.
    pub(super) fn answered(&self) -> usize {
        self.answered.iter().filter(|answered| **answered).count()
    }

    /// An answer for each call, in the order of the calls. What still runs is cancelled; what has ended counts,
    /// also if nobody has looked at it yet.
    ///
    /// `at_once` does not wait until what runs has been dropped.
    pub(super) async fn end(&mut self, at_once: bool) -> Vec<ToolResult> {
        // Stopped before it is looked at: what is done counts as done, and what is not cannot be any more.
        if at_once || self.answered() == self.answers.len() {
            self.pool.halt();
        } else {
            self.pool.stop().await;
        }
        while let Some((place, result)) = self.ended().await {
            self.tell_of(place, result);
        }
        std::mem::take(&mut self.answers)
    }

    /// Answers `calls`, as many at once as may be. What has been answered stays if this is dropped.
    ///
    /// # Errors
    /// The first failure of a tool, if failures end the agent; and that of the agent's own surroundings.
    pub(super) async fn run(&mut self, calls: &[ToolCall], cx: &Context) -> Result<()> {
        let tools = self.tools.clone();
        let mut plan = CallSchedule::default();
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
        let mut jobs = VecDeque::new();
        loop {
            while plan.running() < tools.limit
                && let Some(place) = plan.start_one()
            {
                jobs.push_back((place, arguments[place].take().unwrap_or_default()));
            }
            self.pool.submit(&mut jobs);
            if plan.running() == 0 {
                return Ok(());
            }
            // All that have ended: one that has failed must not take those with it that were done.
            let (mut places, mut failure) = (Vec::new(), None);
            let mut ended = Some(self.pool.next().await);
            while let Some((place, result)) = ended {
                plan.end(place);
                places.push(place);
                // Arguments that do not fit are the model's mistake, and not the tool's failure.
                if let Some(error) = self.tell_of(place, result).filter(|error| !is_of_the_caller(error))
                    && failure.is_none()
                {
                    // Before anything is shown, for a reader takes its time, and what ends meanwhile is done.
                    if tools.on_failure != ToolFailure::Tell {
                        self.pool.stop().await;
                    }
                    failure = Some(error);
                }
                ended = self.ended().await;
            }
            for place in places {
                self.show(place, cx).await?;
            }
            match failure {
                Some(error) if error.kind() == ErrorKind::Cancelled && cx.is_cancelled() => return Err(error),
                Some(error) if tools.on_failure == ToolFailure::Fail => return Err(error),
                Some(_) if tools.on_failure == ToolFailure::CancelSiblings => {
                    for place in 0..calls.len() {
                        if !self.answered[place] {
                            self.show(place, cx).await?;
                        }
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// The next call that has ended, if there is one already.
    async fn ended(&mut self) -> Option<(usize, Result<Value>)> {
        poll_fn(|task| match self.pool.poll_next(task) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Answers a call with what became of it; gives the failure back, if it was one.
    fn tell_of(&mut self, place: usize, result: Result<Value>) -> Option<Error> {
        match result {
            Ok(output) => {
                self.tell(place, as_text(output), false);
                None
            }
            Err(error) => {
                let tool = self.tools.by_name.get(&self.answers[place].name);
                self.tell(place, complaint(&error, tool), true);
                Some(error)
            }
        }
    }

    fn tell(&mut self, place: usize, text: String, is_error: bool) {
        let answer = &mut self.answers[place];
        (answer.text, answer.is_error) = (text, is_error);
        self.answered[place] = true;
    }

    /// Shows the answer to the call at `place` to whoever watches the agent.
    async fn show(&self, place: usize, cx: &Context) -> Result<()> {
        cx.emit(Progress::Answered(&self.answers[place])).await
    }
}

/// What a model is told of a failure: what it can do something about.
fn complaint(error: &Error, tool: Option<&DynTool>) -> String {
    let mut text = format!("error: {}", error.message());
    if let Some(hint) = error.hint() {
        text.push_str("; ");
        text.push_str(hint);
    }
    match tool {
        Some(tool) if is_of_the_caller(error) => unfit(&text, tool),
        _ => text,
    }
}

/// A complaint about arguments, with what they should be.
fn unfit(complaint: &str, tool: &DynTool) -> String {
    format!("{complaint}; the schema of the arguments is {}", tool.spec().parameters)
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

impl PoolTask for Calls {
    type Input = Value;
    type Out = (usize, Result<Value>);

    async fn run(&self, place: usize, arguments: Value) -> Self::Out {
        let tool = &self.tools.by_name[&self.names[place]];
        (place, tool.run(arguments, &self.cx).await)
    }

    fn lost(&self, place: usize, error: Error) -> Self::Out {
        (place, Err(error.at(|| self.cx.path().join(&self.names[place]))))
    }
}
