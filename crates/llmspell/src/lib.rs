//! The concurrency layer for LLM agents and tools.
//!
//! Everything that runs is a [`Step`]: an async function from an input to an output that can see a
//! [`Context`]. A closure becomes one with [`step()`], a tool is one ([`tool`]), and each of five patterns
//! makes a step out of steps, so they nest in any order.
//!
//! | you want to | pattern | begin with |
//! |---|---|---|
//! | run several things at once | [concurrent](pattern::concurrent) | [`join`], [`try_join`], [`settle`], [`all`] |
//! | run one thing over many inputs, so many at a time | [stream](pattern::stream) | [`Step::stream`] |
//! | bound the time, try again, serve something else | [timeout](pattern::timeout) | [`Step::timeout`], [`Step::retry`], [`Step::fallback`] |
//! | ask several and take the first | [race](pattern::race) | [`race`], [`Step::hedge`] |
//! | send records through stages that overlap | [pipeline](pattern::pipeline) | [`pipeline`] |
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
//! What keeps a crowd of calls in order goes around any step, alone or as one [`Policy`]: [`Limit`] (so many at
//! once, or as many as [`Adaptive`] finds), [`Rate`] (so many in a time), [`Budget`] (so much in all), [`Breaker`]
//! (none while the other side fails), [`RetryBudget`] (a share of them again).
//!
//! On top of them stand [agents](agent): steps that let a [model] call [tools](tool) until it answers. Models
//! of real providers are in the crate `llmspell-models`, tools of MCP servers in `llmspell-mcp`; a
//! [`ScriptedModel`](model::ScriptedModel) and a [`SimulatedModel`](model::SimulatedModel) need neither. A
//! [`Registry`] finds what [extensions](Extension) bring by its name.
//!
//! # What holds everywhere
//!
//! - Dropping a future, a stream or a group stops what it started.
//! - A panic is the error of the item, branch or contender it happened in.
//! - Streams never run ahead of their consumer, retries have a budget, and everything else can be limited.
//! - A result that is less than what was asked for says so ([`Outcome`]).
//! - What happens is an [`Event`]; the library never prints.

pub mod agent;
mod context;
mod control;
mod display;
mod error;
pub mod model;
mod observe;
mod path;
pub mod pattern;
#[cfg(feature = "process")]
mod process;
mod registry;
mod runtime;
mod step;
pub mod suggest;
pub mod tool;

#[doc(inline)]
pub use agent::Agent;
pub use context::{CallerGuard, Canceller, Chunk, ChunkData, Chunks, Context, PermitHold, WorkGuard};
pub use control::breaker::{Breaker, BreakerBuilder, WithBreaker};
pub use control::budget::{Budget, BudgetBuilder, WithBudget};
pub use control::limit::{Adaptive, Limit, Limited};
pub use control::policy::{Policy, WithPolicy};
pub use control::rate::{Rate, RateBuilder, RateLimited, RateLimits, RateWindow};
pub use control::retry_budget::{RetryBudget, RetryBudgetBuilder};
pub use error::{Error, ErrorKind, Result, StdError};
#[doc(inline)]
pub use model::{Message, Model};
pub use observe::event::{Event, EventError, EventKind, EventSink, LimitChange, RejectedBy, RetryStop, WaitKind};
pub use observe::outcome::{Choice, Outcome, Provenance, Quality, ServedBy, StageTime};
pub use observe::report::{CriticalStep, PipelineReport, Report, StageReport, StepReport};
pub use path::Path;
#[doc(inline)]
pub use pattern::concurrent::{Group, Join, Settle, all, join, settle, try_all, try_join};
#[doc(inline)]
pub use pattern::pipeline::{Pipeline, pipeline};
#[doc(inline)]
pub use pattern::race::{Contenders, Hedge, Hedged, Race, race};
#[doc(inline)]
pub use pattern::stream::{IntoSource, LimitHandle, Stragglers, Streaming, WithStragglers};
#[doc(inline)]
pub use pattern::timeout::{Fallback, IdleTimeout, Retried, Retry, Timeout, Timeouts};
#[cfg(feature = "process")]
pub use process::{Command, Output, ProcessGroup};
pub use registry::{Extension, RegisteredStep, Registry};
pub use step::{
    BoxStep, CatchUnwind, Constant, FnStep, Idempotent, Map, Named, Shared, Spawned, Step, StepInfo, Then, WithOutcome,
    step, value,
};
#[doc(inline)]
pub use tool::{FakeTool, Tool};

pub use observe::usage::Usage;

#[cfg(feature = "schema")]
pub use schemars;
