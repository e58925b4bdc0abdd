//! Agents: steps that let a model call tools until it answers.
//!
//! The module owns the loop over turns, its limits, the conversation and the execution of tool calls. Timeouts, retries
//! and limits belong to the steps that an agent is made of.
//!
//! ```
//! use std::time::Duration;
//! use llmspell::agent::Agent;
//! use llmspell_test::ScriptedModel;
//! use llmspell::{Context, Step, step, tool};
//! # #[cfg(feature = "schema")] {
//! use llmspell::{Tool, schemars::JsonSchema};
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! #[schemars(crate = "llmspell::schemars")]
//! struct City {
//!     city: String,
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let model = ScriptedModel::new("demo")
//! #     .calls("weather", serde_json::json!({ "city": "Oslo" }))
//! #     .calls("weather", serde_json::json!({ "city": "Rome" }))
//! #     .says("Rome is warmer.");
//! // `model` is any `Model`: from an adapter crate, or your own.
//! let weather = step(|args: City, _cx: Context| async move { Ok(format!("{}: 20 °C", args.city)) })
//!     .timeout(Duration::from_secs(5));
//! let agent = Agent::builder(model)
//!     .system("You compare the weather of cities.")
//!     .tool(Tool::of("weather", "The weather of a city now.", weather))
//!     .build()?;
//!
//! let reply = agent.run("Is it warmer in Oslo or in Rome?".into(), &Context::new()).await?;
//! assert_eq!(reply.text, "Rome is warmer.");
//! assert_eq!((reply.turns, reply.tool_calls), (2, 2)); // both calls run concurrently
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! # }
//! ```
//!
//! # The stages of a turn
//!
//! The agent sends the conversation to the model and emits the reply as it arrives. If the model calls tools, all calls
//! of the turn run concurrently, within [`AgentBuilder::tool_limit`] and the tools'
//! [`CallConcurrency`](crate::tool::CallConcurrency). The results go back in the order of the calls.
//!
//! Every call gets a result. The model receives failures, panics, unknown names and invalid arguments as error
//! results, and can try again. Timeouts, retries and limits of a tool are those of its step; those of the model are
//! those of the step given to [`Agent::of`].
//!
//! # An agent is a step
//!
//! An agent takes a [`Conversation`] (a string converts with `into()`) and returns an [`AgentReply`]. So agents can run
//! over a stream of inputs, race each other, form a pipeline, and be a fallback. They can also be the tool of another
//! agent ([`Agent::into_tool`]).

mod answer_format;
mod builder;
mod call_schedule;
mod conversation;
mod events;
mod interrupt;
mod partial_reply;
mod progress;
mod reply;
mod run;
mod schema_agent;
mod tools;
mod typed;
mod usage_total;
mod validate;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use builder::{AgentBuilder, ToolFailure};
pub use conversation::Conversation;
pub use events::{AgentEvent, AgentEvents};
pub use reply::{AgentReply, Unfinished};
pub use schema_agent::SchemaAgent;
pub use typed::{Typed, TypedAgent, WithReply};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Model, Options, Reply, Request};
use crate::observe::cost::Cost;
use crate::step::{BoxStep, Step, StepInfo, step};
use crate::tool::{Arguments, DynTool, ToolSpec};
use answer_format::TextFormat;
use run::Run;
use tools::Tools;

/// A step that lets a model call tools until it answers; see the [module](self).
///
/// A clone shares everything.
#[derive(Clone)]
pub struct Agent(Arc<AgentConfig>);

struct AgentConfig {
    model: BoxStep<Request, Reply>,
    system: Option<String>,
    options: Arc<Options>,
    tools: Arc<Tools>,
    max_turns: u32,
    max_tokens: Option<u64>,
    max_cost: Option<Cost>,
    deadline: Option<Duration>,
    partial: bool,
}

impl Agent {
    /// Returns a builder for an agent that calls `model`.
    pub fn builder(model: impl Model) -> AgentBuilder {
        Agent::of(model.step())
    }

    /// Returns a builder for an agent that calls a step from a [`Request`] to a [`Reply`].
    ///
    /// Use it for a [model as a step](Model::step) with retries, a rate limit and a timeout around it, for a race of two
    /// models, or for a model with a fallback.
    pub fn of(step: impl Step<In = Request, Out = Reply>) -> AgentBuilder {
        AgentBuilder::new(step.named("model").boxed())
    }

    /// Runs the agent and returns its events as a stream. Dropping the stream stops the agent.
    pub fn events(&self, conversation: impl Into<Conversation>, cx: &Context) -> AgentEvents {
        AgentEvents::new(self.clone(), conversation.into(), cx)
    }

    /// Returns the agent as a tool for another agent. The tool takes a `prompt` and returns the reply's text.
    ///
    /// The outer agent emits the partial output of this one as output of the tool, and counts its usage.
    pub fn into_tool(self, name: &str, description: &str) -> DynTool {
        let parameters = json!({
            "type": "object",
            "properties": { "prompt": { "type": "string", "description": "The task, with all the information it needs." } },
            "required": ["prompt"],
        });
        let step = step(move |arguments: Value, cx: Context| {
            let agent = self.clone();
            async move {
                let Some(prompt) = arguments["prompt"].as_str() else {
                    return Err(Error::bad_arguments("`prompt` must be a string"));
                };
                Ok(Value::String(agent.run(prompt.into(), &cx).await?.text))
            }
        });
        DynTool::from_schema(name, description, parameters, step)
    }

    /// Returns an agent that answers with a `T`: see [`TypedAgent`].
    pub fn typed<T: Arguments>(self) -> TypedAgent<T> {
        TypedAgent::new(self, T::schema())
    }

    /// Returns an agent that answers with a `T` whose JSON Schema is `schema`, for a type without `JsonSchema`: see
    /// [`TypedAgent`].
    pub fn typed_from_schema<T: DeserializeOwned + Send + 'static>(self, schema: Value) -> TypedAgent<T> {
        TypedAgent::new(self, schema)
    }

    /// Returns an agent that answers with JSON of a schema that is known only at run time.
    ///
    /// `check` returns what is wrong with an answer. The model gets one chance to correct an invalid answer. Providers
    /// receive `name` as the name of the schema.
    pub fn with_schema(
        self,
        name: &str,
        schema: Value,
        check: impl Fn(&Value) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> SchemaAgent {
        SchemaAgent::new(self, name, schema, Box::new(check))
    }

    /// Returns the tools that the model can call.
    pub fn tools(&self) -> impl Iterator<Item = &ToolSpec> {
        self.0.tools.specs().iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools().map(|spec| &spec.name).collect();
        f.debug_struct("Agent").field("tools", &tools).field("max_turns", &self.0.max_turns).finish_non_exhaustive()
    }
}

impl Step for Agent {
    type In = Conversation;
    type Out = AgentReply;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<AgentReply> {
        let run = Run::new(&self.0, self.0.options.clone());
        Ok(run.run_conversation(conversation, &TextFormat, cx).await?.1)
    }

    fn info(&self) -> StepInfo<'_> {
        // An adaptive limit also needs the default concurrency through an agent.
        StepInfo::default().in_flight(self.0.model.info().default_in_flight)
    }
}
