//! The tools of an agent, and the execution of one turn's tool calls.
//!
//! [`Tools`] finds the tool of a call and checks its arguments. [`TurnCalls`] runs the calls of a turn, within the
//! order that a [`CallSchedule`] allows, and holds a result for each of them. The loop over turns is in
//! [`run`](super::run).

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use serde_json::Value;

use super::ToolFailure;
use super::call_schedule::CallSchedule;
use super::progress::ProgressRef;
use crate::context::{CallerGuard, Context, WorkGuard};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ToolCall, ToolResult};
use crate::runtime::executor::{PoolTask, WorkerPool};
use crate::step::Step;
use crate::suggest;
use crate::tool::{DynTool, ToolSpec, is_bad_arguments};

/// The tools of an agent by name.
pub(super) struct Tools {
    by_name: BTreeMap<String, DynTool>,
    specs: Arc<Vec<Arc<ToolSpec>>>,
    /// The maximum number of concurrent calls in one turn.
    pub(super) limit: usize,
    pub(super) on_failure: ToolFailure,
}

impl Tools {
    /// Creates the set of `tools`, whose names must be unique.
    pub(super) fn new(tools: Vec<DynTool>, limit: usize, on_failure: ToolFailure) -> Self {
        let specs = tools.iter().map(|tool| Arc::new(tool.spec().clone())).collect();
        let by_name = tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect();
        Tools { by_name, specs: Arc::new(specs), limit, on_failure }
    }

    pub(super) fn specs(&self) -> &Arc<Vec<Arc<ToolSpec>>> {
        &self.specs
    }

    /// Returns the tool of a call and its arguments, or the error text for the model.
    fn find(&self, call: &ToolCall) -> Result<(&DynTool, Value), String> {
        let Some(tool) = self.by_name.get(&call.name) else {
            let names = self.by_name.keys().map(String::as_str);
            let hint = match self.by_name.len() {
                0 => "there are none".to_owned(),
                _ => suggest::hint(&call.name, names, "the tools are"),
            };
            return Err(format!("error: unknown tool `{}`; {hint}", call.name));
        };
        // Models leave out the arguments of a tool that takes none.
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        match serde_json::from_str(text) {
            Ok(arguments @ Value::Object(_)) => Ok((tool, arguments)),
            Ok(_) => Err(with_schema("error: the arguments must be a JSON object", tool)),
            Err(error) => Err(with_schema(&format!("error: the arguments are not valid JSON: {error}"), tool)),
        }
    }
}

/// The calls of one turn while they run.
///
/// Every call has a result from the beginning: until a better one arrives, the result says that it was cancelled.
pub(super) struct TurnCalls {
    tools: Arc<Tools>,
    results: Vec<ToolResult>,
    /// Whether the result of a call is final: its tool has returned, or the call cannot be made.
    is_final: Vec<bool>,
    pool: WorkerPool<CallTask>,
}

/// The calls of a turn that have yet to start, and their arguments.
struct PendingCalls {
    schedule: CallSchedule,
    /// By index in the turn; `None` for a call that has started or cannot be made.
    arguments: Vec<Option<Value>>,
}

impl TurnCalls {
    pub(super) fn new(calls: &[ToolCall], tools: &Arc<Tools>, cx: &Context) -> Self {
        let cancelled = |call: &ToolCall| ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            text: "cancelled: this call was not made, or was stopped before it finished".to_owned(),
            is_error: true,
        };
        let names = calls.iter().map(|call| call.name.clone()).collect();
        TurnCalls {
            tools: tools.clone(),
            results: calls.iter().map(cancelled).collect(),
            is_final: vec![false; calls.len()],
            pool: WorkerPool::new(cx.pool_guards(), CallTask { tools: tools.clone(), names, cx: cx.clone() }),
        }
    }

    /// Returns the number of calls whose result is final.
    pub(super) fn finished(&self) -> usize {
        self.is_final.iter().filter(|is_final| **is_final).count()
    }

    /// Cancels the calls that still run, and returns a result for each call, in the order of the calls.
    ///
    /// Calls that have finished keep their own result, even if it has not been read from the pool yet. With
    /// `immediately`, this does not wait until running calls have been dropped.
    pub(super) async fn finish(&mut self, immediately: bool) -> Vec<ToolResult> {
        // The pool stops before its results are read. So a finished call counts as finished, and no other call can
        // finish in between.
        if immediately || self.finished() == self.results.len() {
            self.pool.halt();
        } else {
            self.pool.stop().await;
        }
        while let Some((index, result)) = self.next_finished().await {
            self.record(index, result);
        }
        std::mem::take(&mut self.results)
    }

    /// Runs `calls`, with as much concurrency as limit and schedule allow. Final results stay if this is dropped.
    ///
    /// # Errors
    /// The first failure of a tool, if the agent fails with its tools; and failures of `cx` itself.
    pub(super) async fn run(&mut self, calls: &[ToolCall], cx: &Context) -> Result<()> {
        let mut pending = self.schedule(calls, cx).await?;
        let mut jobs = VecDeque::new();
        loop {
            while pending.schedule.running() < self.tools.limit
                && let Some(index) = pending.schedule.start_one()
            {
                jobs.push_back((index, pending.arguments[index].take().unwrap_or_default()));
            }
            self.pool.submit(&mut jobs);
            if pending.schedule.running() == 0 {
                return Ok(());
            }
            let (indices, failure) = self.wait(&mut pending.schedule).await;
            for index in indices {
                self.emit_result(index, cx).await?;
            }
            let Some(error) = failure else { continue };
            if error.kind() == ErrorKind::Cancelled && cx.is_cancelled() {
                return Err(error);
            }
            match self.tools.on_failure {
                ToolFailure::Tell => {}
                ToolFailure::Fail => return Err(error),
                ToolFailure::CancelSiblings => {
                    for index in 0..calls.len() {
                        if !self.is_final[index] {
                            self.emit_result(index, cx).await?;
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Finds the tool of each call. A call without one, or with unusable arguments, gets its result here.
    async fn schedule(&mut self, calls: &[ToolCall], cx: &Context) -> Result<PendingCalls> {
        let tools = self.tools.clone();
        let mut schedule = CallSchedule::default();
        let mut arguments: Vec<Option<Value>> = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            match tools.find(call) {
                Ok((tool, found)) => {
                    schedule.add(index, &call.name, &tool.spec().concurrency, &found);
                    arguments.push(Some(found));
                }
                Err(text) => {
                    self.set_result(index, text, true);
                    self.emit_result(index, cx).await?;
                    arguments.push(None);
                }
            }
        }
        Ok(PendingCalls { schedule, arguments })
    }

    /// Waits until a call finishes, and records every call that has finished by then. Returns their indices and the
    /// first failure.
    async fn wait(&mut self, schedule: &mut CallSchedule) -> (Vec<usize>, Option<Error>) {
        let (mut indices, mut failure) = (Vec::new(), None);
        // All finished calls are recorded: a failed call must not discard the results of the others.
        let mut finished = Some(self.pool.next().await);
        while let Some((index, result)) = finished {
            schedule.finish(index);
            indices.push(index);
            // Invalid arguments are a mistake of the model, not a failure of the tool.
            if let Some(error) = self.record(index, result).filter(|error| !is_bad_arguments(error))
                && failure.is_none()
            {
                // The pool stops before any result is emitted. A consumer may be slow, and calls that finish
                // in the meantime would count as done.
                if self.tools.on_failure != ToolFailure::Tell {
                    self.pool.stop().await;
                }
                failure = Some(error);
            }
            finished = self.next_finished().await;
        }
        (indices, failure)
    }

    /// Returns the next finished call, if there is one already.
    async fn next_finished(&mut self) -> Option<(usize, Result<Value>)> {
        poll_fn(|task| match self.pool.poll_next(task) {
            Poll::Ready(finished) => Poll::Ready(Some(finished)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Sets the result of a call from the output of its tool. Returns the error, if there was one.
    fn record(&mut self, index: usize, output: Result<Value>) -> Option<Error> {
        match output {
            Ok(output) => {
                self.set_result(index, output_text(output), false);
                None
            }
            Err(error) => {
                let tool = self.tools.by_name.get(&self.results[index].name);
                self.set_result(index, error_text(&error, tool), true);
                Some(error)
            }
        }
    }

    fn set_result(&mut self, index: usize, text: String, is_error: bool) {
        let result = &mut self.results[index];
        (result.text, result.is_error) = (text, is_error);
        self.is_final[index] = true;
    }

    /// Emits the result at `index` as partial output of the agent.
    async fn emit_result(&self, index: usize, cx: &Context) -> Result<()> {
        cx.emit(ProgressRef::Answered(&self.results[index])).await
    }
}

/// Returns the text of a failure for the model: the parts that it can act on.
fn error_text(error: &Error, tool: Option<&DynTool>) -> String {
    let mut text = format!("error: {}", error.message());
    if let Some(hint) = error.hint() {
        text.push_str("; ");
        text.push_str(hint);
    }
    match tool {
        Some(tool) if is_bad_arguments(error) => with_schema(&text, tool),
        _ => text,
    }
}

/// Appends the schema of the tool's arguments to an error text.
fn with_schema(text: &str, tool: &DynTool) -> String {
    format!("{text}; the schema of the arguments is {}", tool.spec().parameters)
}

/// Returns a string as it is, and any other value as JSON.
fn output_text(output: Value) -> String {
    match output {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The calls of a turn as jobs of a worker pool.
struct CallTask {
    tools: Arc<Tools>,
    /// The tool names of the turn's calls, by index.
    names: Vec<String>,
    cx: Context,
}

impl PoolTask for CallTask {
    type Input = Value;
    type Out = (usize, Result<Value>);
    type CallerGuard = CallerGuard;
    type WorkGuard = WorkGuard;

    async fn run(&self, index: usize, arguments: Value) -> Self::Out {
        let tool = &self.tools.by_name[&self.names[index]];
        (index, tool.run(arguments, &self.cx).await)
    }

    fn lost(&self, index: usize, error: Error) -> Self::Out {
        (index, Err(error.at(|| self.cx.path().join(&self.names[index]))))
    }
}
