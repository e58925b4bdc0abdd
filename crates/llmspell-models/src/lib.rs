//! Chat models of providers for [LLMSpell](llmspell): OpenAI and compatible servers, Anthropic, Gemini and Ollama,
//! behind [`llmspell::model::Model`].
//!
//! ```no_run
//! use std::time::Duration;
//! use llmspell::model::{Model, Request};
//! use llmspell::{Context, Retry, Step};
//!
//! # async fn example() -> llmspell::Result<()> {
//! let model = llmspell_models::model("openai/gpt-5-mini")?; // the key is in OPENAI_API_KEY
//! let ask = model.step().timeout(Duration::from_secs(60)).retry(Retry::exponential());
//! let reply = ask.run(Request::new("The capital of France?"), &Context::new()).await?;
//! assert!(reply.text.contains("Paris"));
//! # Ok(()) }
//! ```
//!
//! A model sends one request for each polled stream. It does not retry, leaves no tasks behind, and has no unbounded
//! buffers. Dropping the stream closes the connection; a slow consumer slows the server down. Use the combinators of
//! the core for timeouts and retries.
//!
//! Faults of servers are a [`ModelError`](llmspell::model::ModelError) with the same class on every wire. Examples are
//! too many requests with their `Retry-After`, a reply without a finish reason, an error within a reply, or HTML in
//! place of JSON. Rate limits in error responses go to [`Context::rate_limits`](llmspell::Context::rate_limits).
//!
//! Options that a wire cannot express are rejected, not dropped. The exception is the
//! [seed](llmspell::model::Options::seed), which is best-effort, and which Anthropic does not support.
//!
//! Keys come from the environment or from files, and appear in no event, error or log.
//!
//! The crate `llmspell-test` has a cassette, which records and replays models, and a server with these failures.

mod failure;
mod headers;
mod key;
mod models;
mod opaque;
mod provider;
mod remote;
mod stream;
mod suppress_logs;
mod translate;

pub use models::Models;
pub use provider::Wire;
pub use remote::RemoteModel;

/// The model with this name, as `provider/model`, with keys and addresses from the
/// [environment](Models::from_env).
///
/// # Errors
/// Those of [`Models::get`].
pub fn model(name: &str) -> llmspell::Result<RemoteModel> {
    Models::from_env().get(name)
}

/// The examples in the project's README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
