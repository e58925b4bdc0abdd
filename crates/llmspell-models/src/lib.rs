//! Real chat models for [LLMSpell](llmspell): OpenAI and whoever speaks like it, Anthropic, Gemini and Ollama,
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
//! A model here sends one request for each stream that is polled, and nothing else: no retries, no tasks left
//! behind, no buffers that grow. Dropping the stream closes the connection; a consumer that stalls stalls the server.
//! What patience there is to be is said with the combinators of the core.
//!
//! What servers do wrong comes as a [`ModelError`](llmspell::model::ModelError) with its class, whatever the
//! wire: too many requests with the time after which to come back, an answer that ends without a finish reason, an
//! error in the middle of one, a page of HTML where JSON should be. What they say about their limits on such an
//! occasion is handed to [`Context::rate_limits`](llmspell::Context::rate_limits).
//!
//! Options that a wire cannot express are refused, not dropped, with one exception: a
//! [seed](llmspell::model::Options::seed) is a wish, and Anthropic does not know it.
//!
//! Keys come from the environment or from files, and appear in no event, error or log.
//!
//! The crate `llmspell-test` has a cassette, which records and replays models, and a server with these failures.

mod failure;
mod headers;
mod kept;
mod key;
mod listen;
mod models;
mod provider;
mod quiet;
mod remote;
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
