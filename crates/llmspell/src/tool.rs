//! Tools: steps that a model can call, with a name, a description, and arguments with a schema.
//!
//! The module owns the types of a tool and its arguments. The execution of a model's calls is in [`agent`](crate::agent).
//!
//! ```
//! # #[cfg(feature = "schema")] {
//! use llmspell::{Context, Step, Tool, schemars::JsonSchema};
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! #[schemars(crate = "llmspell::schemars")]
//! struct Search {
//!     /// The text to search for.
//!     query: String,
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let search = Tool::new("search", "Searches the notes.", |args: Search, _cx| async move {
//!     Ok(format!("nothing on {}", args.query))
//! });
//! assert_eq!(search.spec().parameters["properties"]["query"]["description"], "The text to search for.");
//!
//! // A modifier turns a tool into a plain step. To add modifiers, make the tool from the modified step:
//! let limited = llmspell::step(|args: Search, _cx| async move { Ok(args.query) });
//! let limited = Tool::of("search", "Searches the notes.", limited.timeout(std::time::Duration::from_secs(5)));
//! assert_eq!(limited.spec().name, "search");
//!
//! // From JSON to JSON, as models and flow files call it:
//! let search = search.erase();
//! let found = search.run(serde_json::json!({ "query": "rust" }), &Context::new()).await?;
//! assert_eq!(found, "nothing on rust");
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! # }
//! ```

mod arguments;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use arguments::Arguments;
pub(crate) use arguments::is_bad_arguments;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::step::{BoxStep, FnStep, Named, Step, StepInfo, step};

/// The privilege that a tool needs: its possible effects outside of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Privilege {
    /// Only computes.
    #[default]
    Safe,
    /// Reads files or uses the network, within the permissions of the user.
    Restricted,
    /// Runs programs or makes changes.
    Privileged,
}

impl Privilege {
    /// Returns the name used in JSON, such as `restricted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Privilege::Safe => "safe",
            Privilege::Restricted => "restricted",
            Privilege::Privileged => "privileged",
        }
    }
}

/// The concurrency that a tool allows among the calls of one turn.
///
/// It keeps conflicting calls of a turn in the model's order. To limit a tool across all agents that use it, make it of a
/// step with a [`limit`](Step::limit).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallConcurrency {
    /// Calls run concurrently with each other and with other tools.
    #[default]
    Parallel,
    /// A call runs alone: for a tool that changes state that other tools read.
    Exclusive,
    /// Calls with the same value of this argument run one after another, such as edits of one `path`. Calls with
    /// different values run concurrently.
    Keyed(String),
}

impl CallConcurrency {
    fn is_parallel(&self) -> bool {
        *self == CallConcurrency::Parallel
    }
}

/// The description of a tool for its callers, in the form that models receive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolSpec {
    /// The name.
    pub name: String,
    /// The description, in a sentence or two.
    pub description: String,
    /// The JSON Schema of the arguments.
    pub parameters: Value,
    /// The privilege that the tool needs.
    pub security: Privilege,
    /// The concurrency among its calls.
    #[serde(skip_serializing_if = "CallConcurrency::is_parallel")]
    pub concurrency: CallConcurrency,
}

/// A named step with typed arguments, a description and a schema. A clone shares the spec.
#[derive(Clone)]
pub struct Tool<S> {
    spec: Arc<ToolSpec>,
    step: Named<S>,
}

/// A type-erased tool from JSON to JSON; made by [`Tool::erase`], or by [`DynTool::from_schema`] without Rust types.
pub type DynTool = Tool<BoxStep<Value, Value>>;

impl<A, F, Fut, O> Tool<FnStep<F, A, Fut>>
where
    A: Arguments,
    F: Fn(A, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
    O: Send + 'static,
{
    /// Creates a tool from an async closure over its arguments. Its privilege is [`Privilege::Safe`] unless
    /// [`Tool::security`] sets another.
    pub fn new(name: &str, description: &str, function: F) -> Self {
        Tool::of(name, description, step(function))
    }
}

impl<S: Step<In: Arguments>> Tool<S> {
    /// Creates a tool from any step whose input has a schema, such as a step with a timeout and a limit.
    pub fn of(name: &str, description: &str, step: S) -> Self {
        Tool::from_parts(name, description, arguments::parameters::<S::In>(), step)
    }
}

impl<S> Tool<S> {
    /// Creates a tool from any step and the JSON Schema of its input, for a type without `JsonSchema`.
    ///
    /// To [erase](Tool::erase) the tool or give it to an agent, its input must implement `Deserialize` and its output
    /// `Serialize`.
    ///
    /// ```
    /// use llmspell::{Tool, step};
    /// use serde_json::json;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Add {
    ///     a: f64,
    ///     b: f64,
    /// }
    ///
    /// let parameters = json!({ "type": "object", "required": ["a", "b"],
    ///                          "properties": { "a": { "type": "number" }, "b": { "type": "number" } } });
    /// let add = step(|args: Add, _cx| async move { Ok(args.a + args.b) });
    /// let add = Tool::from_parts("add", "Adds two numbers.", parameters, add);
    /// assert_eq!(add.erase().spec().parameters["required"], json!(["a", "b"]));
    /// ```
    pub fn from_parts(name: &str, description: &str, parameters: Value, step: S) -> Self {
        let spec = ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters,
            security: Privilege::Safe,
            concurrency: CallConcurrency::Parallel,
        };
        Tool { spec: Arc::new(spec), step: Named::new(step, Arc::from(name)) }
    }

    /// Renames the tool, such as when two servers have a tool of the same name, or models cannot call the name.
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

    /// Sets the privilege that the tool needs.
    pub fn security(mut self, security: Privilege) -> Self {
        Arc::make_mut(&mut self.spec).security = security;
        self
    }

    /// Runs each of its calls alone within a turn; see [`CallConcurrency::Exclusive`].
    pub fn exclusive(mut self) -> Self {
        Arc::make_mut(&mut self.spec).concurrency = CallConcurrency::Exclusive;
        self
    }

    /// Runs calls of a turn with the same `argument` one after another; see [`CallConcurrency::Keyed`].
    pub fn keyed(mut self, argument: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.spec).concurrency = CallConcurrency::Keyed(argument.into());
        self
    }

    /// Returns the description of the tool.
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// Returns the step without the tool's name: for a caller that names its calls itself, such as a flow step.
    pub fn into_step(self) -> S {
        self.step.into_inner()
    }
}

impl<S> Tool<S>
where
    S: Step<In: DeserializeOwned, Out: Serialize>,
{
    /// Returns the tool as one from JSON to JSON. Invalid arguments fail with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) before the tool runs.
    pub fn erase(self) -> DynTool {
        Tool {
            step: Named::new(Erased(self.step.into_inner()).boxed(), Arc::from(self.spec.name.as_str())),
            spec: self.spec,
        }
    }
}

impl DynTool {
    /// Creates a tool from a step from JSON to JSON, for arguments without a Rust type.
    ///
    /// The JSON Schema `parameters`, such as one of a server, describes the arguments. The step must check them; see
    /// [`Error::bad_arguments`].
    ///
    /// ```
    /// use llmspell::{step, tool::DynTool};
    /// use serde_json::{Value, json};
    ///
    /// let parameters = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    /// let echo = step(|arguments: Value, _| async move { Ok(arguments["text"].clone()) });
    /// let echo = DynTool::from_schema("echo", "Returns its text.", parameters, echo);
    /// assert_eq!(echo.spec().parameters["type"], "object");
    /// ```
    pub fn from_schema(
        name: &str,
        description: &str,
        parameters: Value,
        step: impl Step<In = Value, Out = Value>,
    ) -> DynTool {
        Tool::from_parts(name, description, parameters, step.boxed())
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

/// A typed step as a step from JSON to JSON.
struct Erased<S>(S);

impl<S> Step for Erased<S>
where
    S: Step<In: DeserializeOwned, Out: Serialize>,
{
    type In = Value;
    type Out = Value;

    async fn run(&self, input: Value, cx: &Context) -> Result<Value> {
        let output = self.0.run(arguments::read(input)?, cx).await?;
        serde_json::to_value(output)
            .map_err(|error| Error::failed(format!("the output cannot be JSON: {error}")).with_source(error))
    }

    fn info(&self) -> StepInfo<'_> {
        self.0.info()
    }
}
