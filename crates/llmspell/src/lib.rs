//! The concurrency layer for LLM agents and tools.
//!
//! Everything that runs is a [`Step`]: an async function from an input and a [`Context`] to an output. [`step()`] makes one
//! of a closure, and every [tool] is one. Each of five patterns makes a step of steps, so they nest in any order.
//!
//! | task | pattern | start with |
//! |---|---|---|
//! | run several things at once | [concurrent](pattern::concurrent) | [`join`], [`try_join`], [`settle`], [`all`] |
//! | run one step over many inputs, at most N at once | [stream](pattern::stream) | [`Step::stream`] |
//! | bound the time, retry, fall back | [timeout](pattern::timeout) | [`Step::timeout`], [`Step::retry`], [`Step::fallback`] |
//! | run several and take the first | [race](pattern::race) | [`race`], [`Step::hedge`] |
//! | send records through overlapping stages | [pipeline](pattern::pipeline) | [`pipeline`] |
//!
//! ```
//! use std::time::Duration;
//! use llmspell::{Context, Retry, Step, race, step, value};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let secs = Duration::from_secs;
//! # let (ask_small, ask_large) = (|question: String, _cx: Context| async move { Ok(question) }, |question: String, _cx: Context| async move { Ok(question) });
//! let small = step(ask_small).named("small");
//! let large = step(ask_large).named("large");
//! let answer = race((small, large))
//!     .timeout(secs(5))
//!     .retry(Retry::exponential().max_attempts(3))
//!     .deadline(secs(20))
//!     .fallback(value("offline"))
//!     .named("answer");
//!
//! let cx = Context::recording();
//! let questions = ["why?", "how?"].map(String::from);
//! let mut answers = answer.stream(questions, &cx).limit(8).ordered();
//! while let Some(outcome) = answers.next().await {
//!     println!("{} {:?}: {}", outcome.index, outcome.quality, outcome.result?);
//! }
//! println!("{}", cx.report()); // speedup, percentiles, critical path
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```
//!
//! Flow control goes around any step, alone or as one [`Policy`]:
//!
//! - [`Limit`]: at most N calls at once, fixed or [adaptive](control::Adaptive).
//! - [`Rate`]: at most N calls or tokens in a period.
//! - [`Budget`]: at most N tokens, or a cost, for a run.
//! - [`Breaker`]: no calls while a server fails.
//! - [`RetryBudget`](control::RetryBudget): retries for at most a share of the calls.
//!
//! [Agents](agent) build on these: an agent is a step that lets a [model] call [tools](tool) until it answers. The crate
//! `llmspell-models` has the models of providers, `llmspell-mcp` the tools of MCP servers, and `llmspell-test` scripted and
//! simulated models. A [`Registry`](registry::Registry) has tools, models and steps by name, and [extensions](registry::Extension) add to it.
//!
//! # Guarantees
//!
//! - Dropping a future, a stream or a group stops the work it started.
//! - A panic is the error of the item, branch or contender that panicked.
//! - Streams never run ahead of their consumer, retries have a budget, and everything else can be limited.
//! - A partial or substituted result says so ([`Outcome`]).
//! - Everything observable is an [`Event`](observe::Event); the library never prints.

pub mod agent;
pub mod context;
pub mod control;
mod display;
pub mod error;
pub mod model;
pub mod observe;
pub mod path;
pub mod pattern;
mod policy;
#[cfg(feature = "process")]
pub mod process;
pub mod registry;
mod runtime;
pub mod step;
mod suggest;
pub mod tool;

#[doc(inline)]
pub use agent::Agent;
pub use context::Context;
pub use control::breaker::Breaker;
pub use control::budget::Budget;
pub use control::limit::Limit;
pub use control::rate::Rate;
pub use error::{Error, ErrorKind, Result};
#[doc(inline)]
pub use model::Model;
pub use observe::outcome::Outcome;
#[doc(inline)]
pub use pattern::concurrent::{all, join, settle, try_all, try_join};
#[doc(inline)]
pub use pattern::pipeline::pipeline;
#[doc(inline)]
pub use pattern::race::{Hedge, race};
#[doc(inline)]
pub use pattern::timeout::Retry;
pub use policy::Policy;
pub use step::{Step, step, value};
#[doc(inline)]
pub use tool::Tool;

#[cfg(feature = "schema")]
pub use schemars;

/// Items that the crates of this workspace share beyond the public interface. They may change in any release.
#[doc(hidden)]
pub mod internal {
    /// Suggestions for unknown names.
    pub mod suggest {
        pub use crate::suggest::{hint, nearest};
    }

    pub use crate::observe::fold::{CallState, LiveCall, StepTotals, Totals};
    pub use crate::observe::histogram::Histogram;
    pub use crate::observe::shared_fold::{FoldSnapshot, SharedFold};
}
