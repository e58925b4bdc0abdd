//! Chat models: messages and tool specs in, a stream of typed events out.
//!
//! A [`Model`] has one method that matters, [`Model::stream`]. [`Model::step`] makes a [`Step`](crate::Step) of it, from a
//! [`Request`] to a whole [`Reply`], and with that every pattern applies: two models in a
//! [first-output race](crate::Race::first_output) race for the first token, a model with a
//! [`Rate`](crate::Rate) keeps to its provider's limits, one with an
//! [idle timeout](crate::Step::idle_timeout) does not hang on a stalled stream.
//!
//! This crate knows no provider: adapters live in crates of their own. Two models need no network: a
//! [`ScriptedModel`] answers what a test tells it to, a [`SimulatedModel`] takes its time, fails and refuses as
//! real ones do.
//!
//! ```
//! use std::time::Duration;
//! use llmspell::model::{Model, Request, ScriptedModel};
//! use llmspell::{Context, Step, race};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let quick = ScriptedModel::new("quick").says("Paris.");
//! let other = ScriptedModel::new("other").says("It is Paris.").delay(Duration::from_secs(2));
//!
//! let fastest = race((quick.step().named("quick"), other.step().named("other"))).first_output();
//! let reply = fastest.run(Request::new("The capital of France?"), &Context::new()).await?;
//! assert_eq!(reply.text, "Paris.");
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod error;
mod event;
mod message;
mod options;
mod reply;
mod request;
mod scripted;
mod simulated;
mod step;
mod stream;
mod usage_charge;

use std::sync::Arc;

pub use error::{ModelError, ModelErrorClass};
pub use event::{Finish, ModelEvent, ToolCallDelta};
pub use message::{Content, Image, Message, ToolCall, ToolResult};
pub use options::{Effort, Options, OutputFormat, ToolChoice};
pub use reply::{LARGEST_REPLY, Reply};
pub use request::{BYTES_PER_TOKEN, Request};
pub use scripted::ScriptedModel;
pub use simulated::SimulatedModel;
pub use step::{ModelStep, Prices};
pub use stream::{EventSender, ModelStream};

use crate::context::Context;

/// A chat model.
///
/// It can be used as a trait object: `Arc<dyn Model>` is a model, too.
///
/// ```
/// use llmspell::model::{Finish, Model, ModelEvent, ModelStream, Request};
/// use llmspell::{Context, Step};
///
/// /// Repeats what it is asked.
/// struct Echo;
///
/// impl Model for Echo {
///     fn name(&self) -> &str {
///         "example/echo"
///     }
///
///     fn stream(&self, request: Request, _cx: &Context) -> ModelStream {
///         ModelStream::produce(async move |events| {
///             for word in request.last_text().split_inclusive(' ') {
///                 events.send(ModelEvent::Text(word.to_owned())).await?;
///             }
///             events.send(ModelEvent::Finish(Finish::Stop)).await
///         })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let reply = Echo.step().run(Request::new("So it goes."), &Context::new()).await?;
/// assert_eq!(reply.text, "So it goes.");
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
///
/// This trait is open: implement it for your own types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Model`",
    label = "expected a model here",
    note = "to build an agent from a step, such as a model with a retry, use `Agent::of(step)`"
)]
pub trait Model: Send + Sync + 'static {
    /// What it is called, as `provider/model`; shown in events and errors.
    fn name(&self) -> &str;

    /// Begins a reply.
    ///
    /// Nothing happens until the stream is polled. Dropping it cancels the request. The last event of a
    /// complete reply is a [`ModelEvent::Finish`]; a stream that ends without one is
    /// [truncated](ModelErrorClass::Truncated), and what comes after an error is ignored.
    ///
    /// An implementation reads its deadline from `cx` where its transport wants one
    /// ([`Context::remaining`]), hands on what a server says about its limits ([`Context::rate_limits`]) as
    /// far as its transport shows it, with answers that succeed or only with errors, and leaves everything else to the step around it: it does not retry, and it does not report usage other
    /// than by [`ModelEvent::Usage`].
    fn stream(&self, request: Request, cx: &Context) -> ModelStream;

    /// The model as a step, from a request to a whole reply. What the model says is shown on the way as
    /// [partial output](Context::emit).
    fn step(self) -> ModelStep<Self>
    where
        Self: Sized,
    {
        ModelStep::new(self)
    }
}

impl<M: Model + ?Sized> Model for Arc<M> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn stream(&self, request: Request, cx: &Context) -> ModelStream {
        (**self).stream(request, cx)
    }
}

impl<M: Model + ?Sized> Model for Box<M> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn stream(&self, request: Request, cx: &Context) -> ModelStream {
        (**self).stream(request, cx)
    }
}
