//! Steps that a model can call: a name, a description, and arguments with a schema.
//!
//! ```
//! # #[cfg(feature = "schema")] {
//! use llmspell::{Context, Step, Tool, schemars::JsonSchema};
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! #[schemars(crate = "llmspell::schemars")]
//! struct Search {
//!     /// What to look for.
//!     query: String,
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let search = Tool::new("search", "Searches the notes.", |args: Search, _cx| async move {
//!     Ok(format!("nothing on {}", args.query))
//! });
//! assert_eq!(search.spec().parameters["properties"]["query"]["description"], "What to look for.");
//!
//! // With modifiers it is a step like any other; to have a tool again, wrap the step:
//! let patient = llmspell::step(|args: Search, _cx| async move { Ok(args.query) });
//! let patient = Tool::of("search", "Searches the notes.", patient.timeout(std::time::Duration::from_secs(5)));
//! assert_eq!(patient.spec().name, "search");
//!
//! // From JSON to JSON, as a model or a flow file calls it:
//! let search = search.erase();
//! let found = search.run(serde_json::json!({ "query": "rust" }), &Context::new()).await?;
//! assert_eq!(found, "nothing on rust");
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! # }
//! ```

mod arguments;
mod fake;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use arguments::Arguments;
pub(crate) use arguments::is_of_the_caller;
pub use fake::FakeTool;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::step::{BoxStep, FnStep, Named, Step, StepInfo, step};

/// What a tool may do to the world outside of the process, and so who may let it run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Privilege {
    /// Computes; touches nothing.
    #[default]
    Safe,
    /// Reads files or talks to the network, within what its user allows.
    Restricted,
    /// Runs programs or changes things.
    Privileged,
}

impl Privilege {
    /// The name used in JSON, such as `restricted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Privilege::Safe => "safe",
            Privilege::Restricted => "restricted",
            Privilege::Privileged => "privileged",
        }
    }
}

/// Which calls of a tool may run at the same time, where a model makes several in one turn.
///
/// It orders the calls of one turn, as the model made them. To bound a tool over all agents that use it, make it of
/// a step with a [`limit`](Step::limit).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallConcurrency {
    /// Any number of them, next to any other tools.
    #[default]
    Parallel,
    /// One at a time, and nothing else meanwhile: for a tool that changes what other tools look at.
    Exclusive,
    /// Calls with the same value of this argument one after another, such as edits of one `path`; different ones
    /// at the same time.
    Keyed(String),
}

impl CallConcurrency {
    fn is_parallel(&self) -> bool {
        *self == CallConcurrency::Parallel
    }
}

/// What a caller needs to know of a tool, in the form in which models are told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolSpec {
    /// The name it is called by.
    pub name: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
    /// What it may do.
    pub security: Privilege,
    /// Which of its calls may run at the same time.
    #[serde(skip_serializing_if = "CallConcurrency::is_parallel")]
    pub concurrency: CallConcurrency,
}

/// A named step with typed arguments, a description and a schema.
#[derive(Clone)]
pub struct Tool<S> {
    spec: Arc<ToolSpec>,
    step: Named<S>,
}

/// A tool from JSON to JSON; made by [`Tool::erase`], or by [`DynTool::from_schema`] where there are no types.
pub type DynTool = Tool<BoxStep<Value, Value>>;

impl<A, F, Fut, O> Tool<FnStep<F, A, Fut>>
where
    A: Arguments,
    F: Fn(A, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
    O: Send + 'static,
{
    /// Makes a tool of an async closure over its arguments. It is [safe](Security::Safe) unless
    /// [`Tool::security`] says otherwise.
    pub fn new(name: &str, description: &str, function: F) -> Self {
        Tool::of(name, description, step(function))
    }
}

impl<S: Step<In: Arguments>> Tool<S> {
    /// Makes a tool of any step whose input can be described by a schema, such as one with a timeout and a
    /// limit.
    pub fn of(name: &str, description: &str, step: S) -> Self {
        let spec = ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters: arguments::parameters::<S::In>(),
            security: Privilege::Safe,
            concurrency: CallConcurrency::Parallel,
        };
        Tool { spec: Arc::new(spec), step: Named::new(step, Arc::from(name)) }
    }
}

impl<S> Tool<S> {
    /// The same tool under another name, such as one that two servers have, or that models cannot call.
    ///
    /// ```
    /// # #[cfg(feature = "schema")] {
    /// use llmspell::Tool;
    ///
    /// let now = Tool::new("clock.now", "The time.", |(): (), _cx| async { Ok("noon") });
    /// assert_eq!(now.renamed("now").spec().name, "now");
    /// # }
    /// ```
    pub fn renamed(mut self, name: &str) -> Self {
        name.clone_into(&mut Arc::make_mut(&mut self.spec).name);
        Tool { spec: self.spec, step: Named::new(self.step.into_inner(), Arc::from(name)) }
    }

    /// Says what the tool may do.
    pub fn security(mut self, security: Privilege) -> Self {
        Arc::make_mut(&mut self.spec).security = security;
        self
    }

    /// Runs its calls of one turn alone; see [`CallConcurrency::Exclusive`].
    pub fn exclusive(mut self) -> Self {
        Arc::make_mut(&mut self.spec).concurrency = CallConcurrency::Exclusive;
        self
    }

    /// Runs its calls of one turn that have the same `argument` one after another; see [`CallConcurrency::Keyed`].
    pub fn keyed(mut self, argument: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.spec).concurrency = CallConcurrency::Keyed(argument.into());
        self
    }

    /// What a caller needs to know.
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// What the tool does, without its name: for a caller that names its calls itself, such as a step of a
    /// flow file.
    pub fn into_step(self) -> S {
        self.step.into_inner()
    }
}

impl<S> Tool<S>
where
    S: Step<In: Arguments, Out: Serialize>,
{
    /// The tool from JSON to JSON. Arguments that do not fit fail with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) before the tool runs.
    pub fn erase(self) -> DynTool {
        Tool {
            step: Named::new(Erased(self.step.into_inner()).boxed(), Arc::from(self.spec.name.as_str())),
            spec: self.spec,
        }
    }
}

impl DynTool {
    /// Makes a tool of a step from JSON to JSON whose arguments nobody has a type for: they are described by the
    /// JSON Schema `parameters`, as somebody else wrote it down, such as a server. Checking them is up to the step; see
    /// [`Error::bad_arguments`].
    ///
    /// ```
    /// use llmspell::{step, tool::DynTool};
    /// use serde_json::{Value, json};
    ///
    /// let parameters = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    /// let echo = step(|arguments: Value, _| async move { Ok(arguments["text"].clone()) });
    /// let echo = DynTool::from_schema("echo", "Says it again.", parameters, echo);
    /// assert_eq!(echo.spec().parameters["type"], "object");
    /// ```
    pub fn from_schema(
        name: &str,
        description: &str,
        parameters: Value,
        step: impl Step<In = Value, Out = Value>,
    ) -> DynTool {
        let spec = ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters,
            security: Privilege::Safe,
            concurrency: CallConcurrency::Parallel,
        };
        Tool { spec: Arc::new(spec), step: Named::new(step.boxed(), Arc::from(name)) }
    }
}

impl<S> fmt::Debug for Tool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl<S: Step> Step for Tool<S> {
    type In = S::In;
    type Out = S::Out;

    fn run(&self, input: S::In, cx: &Context) -> impl Future<Output = Result<S::Out>> + Send {
        self.step.run(input, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// A step over types as one over JSON.
struct Erased<S>(S);

impl<S> Step for Erased<S>
where
    S: Step<In: Arguments, Out: Serialize>,
{
    type In = Value;
    type Out = Value;

    async fn run(&self, input: Value, cx: &Context) -> Result<Value> {
        let output = self.0.run(arguments::read(input)?, cx).await?;
        serde_json::to_value(output)
            .map_err(|error| Error::failed(format!("the output is not JSON: {error}")).with_source(error))
    }

    fn info(&self) -> StepInfo<'_> {
        self.0.info()
    }
}
