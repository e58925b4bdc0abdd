//! A model as a step: from a request to a complete reply, with events as partial output.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::Model;
use super::error::ModelError;
use super::event::{Finish, ModelEvent};
use super::message::ToolCall;
use super::prices::Prices;
use super::reply::{Reply, ReplyBuilder};
use super::request::Request;
use super::usage_charge::UsageCharge;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::runtime::executor::yield_if_due;
use crate::step::Step;

/// A model as a step from a [`Request`] to a [`Reply`]; made by [`Model::step`].
///
/// The step emits the model's output as it arrives ([`Context::emit`], [`ModelEvent`]s in their JSON form). So
/// first-output races, idle timeouts and consumers of [chunks](Context::with_chunks) see it.
///
/// Usage is [recorded](Context::record_usage) as soon as it is known. Providers report usage at the end of a reply. For
/// an interrupted reply, such as after a timeout or a lost race, the step charges the output so far at
/// [`BYTES_PER_TOKEN`](super::BYTES_PER_TOKEN).
///
/// # Errors
/// The [kind](crate::Error::kind) follows from the [class](super::ModelErrorClass) of the [`ModelError`] in
/// [`Error::source`](crate::Error::source). A reply without a finish reason, or with tool calls that `max_tokens` cut
/// off, is [truncated](super::ModelErrorClass::Truncated). A reply of more than [`LARGEST_REPLY`](super::LARGEST_REPLY)
/// bytes is interrupted, with a permanent error.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct ModelStep<M: ?Sized> {
    prices: Prices,
    model: Arc<M>,
}

impl<M: Model> ModelStep<M> {
    pub(super) fn new(model: M) -> Self {
        ModelStep { prices: Prices::default(), model: Arc::new(model) }
    }

    /// Sets the prices of the model's tokens, so that usage has a [cost](crate::observe::usage::Usage::cost) and budgets can limit it.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self
    }
}

impl<M: Model + ?Sized> Step for ModelStep<M> {
    type In = Request;
    type Out = Reply;

    async fn run(&self, request: Request, cx: &Context) -> Result<Reply> {
        if let Some((problem, hint)) = request.options.problem() {
            return Err(Error::invalid(problem).with_hint(hint));
        }
        let mut charge = UsageCharge::new(request.clone(), self.prices, cx);
        let mut stream = self.model.stream(request, cx);
        let mut reply = ReplyBuilder::default();
        let finish = loop {
            let Some(event) = stream.next().await else {
                return Err(self.truncated(&reply).into_error());
            };
            let mut event = event?;
            charge.on_event(&mut event);
            if !reply.try_reserve(&event) {
                let error = self.with_request_id(ModelError::too_large(self.model.name()), &reply).into_error();
                return Err(error.with_hint("set `max_tokens`: the model may be repeating itself"));
            }
            reply.add(&event);
            match event {
                ModelEvent::Finish(finish) => {
                    charge.complete();
                    break finish;
                }
                output @ (ModelEvent::Text(_) | ModelEvent::Reasoning(_) | ModelEvent::ToolCall(_)) => {
                    cx.emit(output).await?;
                }
                // Metadata is not output: it must not win a race.
                _ => {
                    cx.heartbeat();
                    // Timers must run even while a stream always has an event ready.
                    yield_if_due().await;
                }
            }
        };
        let reply = reply.into_reply(finish);
        if reply.finish == Finish::Length && !reply.tool_calls.iter().all(has_complete_arguments) {
            let error = ModelError::cut_off(self.model.name());
            return Err(error.into_error().permanent().with_hint("raise `max_tokens`"));
        }
        Ok(reply)
    }
}

/// Returns whether the arguments of a call are complete JSON.
fn has_complete_arguments(call: &ToolCall) -> bool {
    serde_json::from_str::<IgnoredAny>(&call.arguments).is_ok()
}

impl<M: Model + ?Sized> ModelStep<M> {
    fn truncated(&self, reply: &ReplyBuilder) -> ModelError {
        self.with_request_id(ModelError::truncated(self.model.name()), reply)
    }

    fn with_request_id(&self, error: ModelError, reply: &ReplyBuilder) -> ModelError {
        match reply.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }
}
