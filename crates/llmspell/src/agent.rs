//! Agents: steps that let a model call tools until it answers.
//!
//! ```
//! use std::time::Duration;
//! use llmspell::agent::Agent;
//! use llmspell::model::ScriptedModel;
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
//! // Any model, of a crate of adapters or of your own.
//! let weather = step(|args: City, _cx: Context| async move { Ok(format!("{}: 20 °C", args.city)) })
//!     .timeout(Duration::from_secs(5));
//! let agent = Agent::builder(model)
//!     .system("You compare the weather of cities.")
//!     .tool(Tool::of("weather", "The weather of a city now.", weather))
//!     .build()?;
//!
//! let reply = agent.run("Is it warmer in Oslo or in Rome?".into(), &Context::new()).await?;
//! assert_eq!(reply.text, "Rome is warmer.");
//! assert_eq!((reply.turns, reply.tool_calls), (2, 2)); // both calls at the same time
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! # }
//! ```
//!
//! # What a turn goes through
//!
//! The model is asked; what it says is shown as it comes. If it calls tools, all calls of the turn run at the same
//! time, as far as [`AgentBuilder::tool_limit`] and the tools' [`CallConcurrency`](crate::tool::CallConcurrency) let
//! them, and their answers go back in the order of the calls. Every call is answered, whatever becomes of it: a
//! failure, a panic, an unknown name and arguments that do not fit are told to the model, which can try
//! otherwise. Timeouts, retries and limits of a tool are those of the step it is made of; those of the model are
//! those of the step given to [`Agent::of`].
//!
//! # An agent is a step
//!
//! It takes a [`Conversation`], which a string is made into with `into()`, and gives an [`AgentReply`]. So agents
//! run over a stream of inputs, race each other, are stages of a pipeline, serve as the fallback of one another,
//! and are the tool of another one ([`Agent::into_tool`]).

mod answer_format;
mod builder;
mod call_schedule;
mod conversation;
mod events;
mod partial_reply;
mod reply;
mod run;
mod schema_agent;
mod tools;
mod typed;
mod usage_total;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use builder::{AgentBuilder, ToolFailure};
pub use conversation::Conversation;
pub use events::{AgentEvent, AgentEvents};
pub use reply::{AgentReply, Unfinished};
pub use schema_agent::SchemaAgent;
pub use typed::{Typed, TypedAgent};

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
pub struct Agent(Arc<Inner>);

struct Inner {
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
    /// An agent that asks `model`.
    pub fn builder(model: impl Model) -> AgentBuilder {
        Agent::of(model.step())
    }

    /// An agent that asks a step from a [`Request`] to a [`Reply`]: a [model as a step](Model::step) with retries,
    /// a rate and a timeout around it, a race of two, or one with a fallback.
    pub fn of(step: impl Step<In = Request, Out = Reply>) -> AgentBuilder {
        AgentBuilder::new(step.named("model").boxed())
    }

    /// Runs the agent, and hands on what happens as it happens. Dropping the events stops the agent.
    pub fn events(&self, conversation: impl Into<Conversation>, cx: &Context) -> AgentEvents {
        AgentEvents::new(self.clone(), conversation.into(), cx)
    }

    /// The agent as a tool of another one: it is called with a `prompt`, and answers with its reply's text.
    ///
    /// What it shows while it works is seen above it as output of the tool, and what it uses counts there.
    pub fn into_tool(self, name: &str, description: &str) -> DynTool {
        let parameters = json!({
            "type": "object",
            "properties": { "prompt": { "type": "string", "description": "What it is to do, with all it needs to know." } },
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

    /// The same agent, answering with a `T`: see [`TypedAgent`].
    pub fn typed<T: Arguments>(self) -> TypedAgent<T> {
        TypedAgent::new(self)
    }

    /// The same agent, answering with JSON of a schema that is known at run time only: `check` says what is wrong with
    /// an answer, and the model has one more turn to mend it. Providers are told `name` as that of the schema.
    pub fn with_schema(
        self,
        name: &str,
        schema: Value,
        check: impl Fn(&Value) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> SchemaAgent {
        SchemaAgent::new(self, name, schema, Box::new(check))
    }

    /// The tools that the model is told of.
    pub fn tools(&self) -> impl Iterator<Item = &ToolSpec> {
        self.0.tools.specs().iter().map(AsRef::as_ref)
    }
}

impl Step for Agent {
    type In = Conversation;
    type Out = AgentReply;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<AgentReply> {
        let run = Run::new(&self.0, self.0.options.clone());
        Ok(run.converse(conversation, &TextFormat, cx).await?.1)
    }

    fn info(&self) -> StepInfo<'_> {
        // A limit that adapts wants to be fed through the agent, too.
        StepInfo::default().in_flight(self.0.model.info().default_in_flight)
    }
}
