//! A model as a step: from a request to a whole reply, shown on the way.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::Model;
use super::error::ModelError;
use super::event::{Finish, ModelEvent};
use super::message::ToolCall;
use super::reply::{Gathered, Reply};
use super::request::Request;
use super::usage_charge::UsageCharge;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::observe::cost::Cost;
use crate::observe::usage::Usage;
use crate::runtime::executor::yield_if_due;
use crate::step::Step;

/// A model as a step from a [`Request`] to a [`Reply`]; made by [`Model::step`].
///
/// What the model says is shown as it comes ([`Context::emit`], as [`ModelEvent`]s in their JSON form), so
/// first-output races, idle timeouts and readers of [chunks](Context::with_chunks) see it. What it uses is
/// [charged](Context::record_usage) as soon as it is known. Providers say so at the end of a reply: of one that is broken off,
/// say by a timeout or because another one has won, what has come in is charged at [`BYTES_PER_TOKEN`](super::BYTES_PER_TOKEN).
///
/// # Errors
/// Of the [kinds](crate::Error::kind) that belong to the [class](super::ModelErrorClass) of the [`ModelError`] in
/// [`Error::source`](crate::Error::source). A reply that ends without a finish reason, and one whose calls of
/// tools were cut off by `max_tokens`, is [truncated](super::ModelErrorClass::Truncated), not complete. One of more than
/// [`LARGEST_REPLY`](super::LARGEST_REPLY) bytes is broken off, and no retry will help.
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

    /// What the model's tokens cost, so that usage has a [cost](Usage::cost) and budgets can cap it.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self
    }
}

impl<M: Model + ?Sized> Step for ModelStep<M> {
    type In = Request;
    type Out = Reply;

    async fn run(&self, request: Request, cx: &Context) -> Result<Reply> {
        if let Some((complaint, hint)) = request.options.complaint() {
            return Err(Error::invalid(complaint).with_hint(hint));
        }
        let mut bill = UsageCharge::new(request.clone(), self.prices, cx);
        let mut stream = self.model.stream(request, cx);
        let mut reply = Gathered::default();
        let finish = loop {
            let Some(event) = stream.next().await else {
                return Err(self.truncated(&reply).into_error());
            };
            let mut event = event?;
            bill.hear(&mut event);
            if !reply.has_room_for(&event) {
                let error = self.named(ModelError::too_large(self.model.name()), &reply).into_error();
                return Err(error.with_hint("does it repeat itself? set `max_tokens`"));
            }
            reply.add(&event);
            match event {
                ModelEvent::Finish(finish) => {
                    bill.complete();
                    break finish;
                }
                output @ (ModelEvent::Text(_) | ModelEvent::Reasoning(_) | ModelEvent::ToolCall(_)) => {
                    cx.emit(output).await?;
                }
                // Bookkeeping is no output: a race must not be won by it.
                _ => {
                    cx.heartbeat();
                    // A stream that always has some must leave the clocks their turn.
                    yield_if_due().await;
                }
            }
        };
        let reply = reply.into_reply(finish);
        if reply.finish == Finish::Length && !reply.tool_calls.iter().all(is_whole) {
            let error = ModelError::cut_off(self.model.name());
            return Err(error.into_error().permanent().with_hint("raise `max_tokens`"));
        }
        Ok(reply)
    }
}

/// Whether the arguments of a call have come to their end.
fn is_whole(call: &ToolCall) -> bool {
    serde_json::from_str::<IgnoredAny>(&call.arguments).is_ok()
}

impl<M: Model + ?Sized> ModelStep<M> {
    fn truncated(&self, reply: &Gathered) -> ModelError {
        self.named(ModelError::truncated(self.model.name()), reply)
    }

    fn named(&self, error: ModelError, reply: &Gathered) -> ModelError {
        match reply.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }
}

/// What tokens cost, per million, in whatever unit the caller prices in.
///
/// ```
/// use llmspell::model::Prices;
/// use llmspell::{Cost, Usage};
///
/// let prices = Prices::per_million(0.25, 2.0);
/// assert_eq!(prices.of(Usage::new(4_000, 1_000)).cost, Cost::new(0.003));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    input: Cost,
    output: Cost,
}

impl Prices {
    /// So much for a million tokens that go in, and that come out.
    pub fn per_million(input: f64, output: f64) -> Self {
        Prices { input: Cost::new(input), output: Cost::new(output) }
    }

    /// The same usage with its cost; one that has a cost already keeps it.
    pub fn of(self, usage: Usage) -> Usage {
        if !usage.cost.is_zero() {
            return usage;
        }
        let cost = self.input.per_million(usage.input_tokens) + self.output.per_million(usage.output_tokens);
        usage.with_cost(cost)
    }
}
