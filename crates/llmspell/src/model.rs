//! Chat models: messages and tool specs in, a stream of typed events out.
//!
//! A [`Model`] has one essential method, [`Model::stream`]. [`Model::step`] turns it into a [`Step`](crate::Step) from a
//! [`Request`] to a complete [`Reply`], so every pattern applies. For example, a [first-output
//! race](crate::pattern::race::Race::first_output) of two models is a race for the first token. A [`Rate`](crate::Rate) keeps a model
//! within its provider's limits, and an [idle timeout](crate::Step::idle_timeout) ends a stalled stream.
//!
//! This crate contains no provider: adapters are in crates of their own, such as `llmspell-models`. Models without a
//! network are in `llmspell-test`: a `ScriptedModel` replays scripted turns, and a `SimulatedModel` has the latencies
//! and failures of real models.
//!
//! ```
//! use std::time::Duration;
//! use llmspell::model::{Model, Request};
//! use llmspell_test::ScriptedModel;
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
mod prices;
mod reply;
mod request;
mod step;
mod stream;
mod usage_charge;

use std::sync::Arc;

pub use error::{ModelError, ModelErrorClass};
pub use event::{Finish, ModelEvent, ToolCallDelta};
pub use message::{Content, Image, Message, ToolCall, ToolResult};
pub use options::{Effort, Options, OutputFormat, ToolChoice};
pub use prices::Prices;
pub use reply::{LARGEST_REPLY, Reply};
pub use request::{BYTES_PER_TOKEN, Request};
pub use step::ModelStep;
pub use stream::{EventSender, ModelStream};

use crate::context::Context;

/// A chat model.
///
/// The trait is open for implementation, and object-safe: `Arc<dyn Model>` is a model, too.
///
/// ```
/// use llmspell::model::{Finish, Model, ModelEvent, ModelStream, Request};
/// use llmspell::{Context, Step};
///
/// /// Repeats the last message.
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
    /// Returns the name, as `provider/model`. It appears in events and errors.
    fn name(&self) -> &str;

    /// Starts a reply.
    ///
    /// Nothing happens until the stream is polled. Dropping it cancels the request. The last event of a
    /// complete reply is a [`ModelEvent::Finish`]. A stream that ends without one is
    /// [truncated](ModelErrorClass::Truncated). Events after an error are ignored.
    ///
    /// An implementation reads its deadline from `cx` if its transport needs one ([`Context::remaining`]). It passes on
    /// the server's rate limits ([`Context::rate_limits`]), of successful answers and of errors, if its transport exposes
    /// them. Everything else belongs to the step around it: a model does not retry, and reports usage only with
    /// [`ModelEvent::Usage`].
    fn stream(&self, request: Request, cx: &Context) -> ModelStream;

    /// Returns the model as a step from a request to a complete reply. The step emits the model's events as
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
