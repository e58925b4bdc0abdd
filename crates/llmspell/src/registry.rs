//! The registry: tools, models and steps by name, and the extensions that add them.
//!
//! Owns names and their uniqueness. It must not call what it holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::observe::event::{Event, EventSink};
use crate::step::{BoxStep, Step};
use crate::suggest;
use crate::tool::{DynTool, ToolSpec};

/// A plug-in that adds tools, models, steps and event sinks to a [`Registry`]. It is usually a crate.
///
/// This trait is open: implement it for your own types. It can be used as a trait object, such as in a list of
/// `Box<dyn Extension>`.
///
/// ```
/// use llmspell_test::SimulatedModel;
/// use llmspell::tool::DynTool;
/// use llmspell::{Result, step};
/// use llmspell::registry::{Extension, Registry};
/// use serde_json::{Value, json};
///
/// struct Greetings;
///
/// impl Extension for Greetings {
///     fn name(&self) -> &str {
///         "greetings"
///     }
///
///     fn register(&self, registry: &mut Registry) -> Result<()> {
///         let greet = step(|arguments: Value, _| async move { Ok(json!(format!("Hello, {}!", arguments["name"]))) });
///         let parameters = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
///         registry.tool(DynTool::from_schema("greet", "Greets a person.", parameters, greet))?;
///         registry.model(SimulatedModel::new("greetings/small"))
///     }
/// }
///
/// let registry = Registry::new().with(Greetings)?;
/// assert!(registry.find_tool("greet").is_ok());
/// assert_eq!(registry.find_model("greetings/small")?.name(), "greetings/small");
/// let error = registry.find_tool("great").unwrap_err();
/// assert_eq!(error.hint(), Some("did you mean `greet`?"));
/// # Ok::<(), llmspell::Error>(())
/// ```
pub trait Extension {
    /// Returns its name, for error messages.
    fn name(&self) -> &str;

    /// Adds its tools, models, steps and sinks. An extension may add others with [`Registry::with`].
    ///
    /// # Errors
    /// Every error that keeps the extension from working, such as a missing file.
    fn register(&self, registry: &mut Registry) -> Result<()>;
}

impl<E: Extension + ?Sized> Extension for &E {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        (**self).register(registry)
    }
}

impl<E: Extension + ?Sized> Extension for Box<E> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        (**self).register(registry)
    }
}

/// Tools, models and steps by name.
///
/// Flow files and the command line use its entries. A program fills it at the start and only reads it afterwards. A clone
/// is cheap and independent.
#[derive(Clone, Default)]
pub struct Registry {
    tools: BTreeMap<String, Registered<DynTool>>,
    models: BTreeMap<String, Registered<Arc<dyn Model>>>,
    providers: BTreeMap<String, Registered<Provider>>,
    steps: BTreeMap<String, Registered<RegisteredStep>>,
    sinks: Vec<Arc<dyn EventSink>>,
    /// The extension that is being added.
    owner: Option<Arc<str>>,
}

type Provider = Arc<dyn Fn(&str) -> Result<Arc<dyn Model>> + Send + Sync>;

/// A registered value, and the extension that added it.
#[derive(Clone)]
struct Registered<T> {
    value: T,
    owner: Option<Arc<str>>,
}

/// A step from JSON to JSON with a name in a [`Registry`].
#[derive(Clone)]
#[non_exhaustive]
pub struct RegisteredStep {
    /// A description, in a sentence or two.
    pub description: String,
    /// The step.
    pub step: Arc<BoxStep<Value, Value>>,
}

impl fmt::Debug for RegisteredStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredStep").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Registry {
    /// Returns an empty registry.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Returns this registry with everything that `extension` adds.
    ///
    /// # Errors
    /// An error of the kind that the extension fails with. [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it adds a name
    /// that is taken; the error names the owner.
    pub fn with(mut self, extension: impl Extension) -> Result<Self> {
        let name: Arc<str> = Arc::from(extension.name());
        // An extension may add others.
        let around = self.owner.replace(name.clone());
        if let Err(cause) = extension.register(&mut self) {
            let error = Error::new(cause.kind(), format!("cannot add extension `{name}`: {}", cause.message()));
            return Err(cause.hint().map(str::to_owned).into_iter().fold(error, Error::with_hint));
        }
        self.owner = around;
        Ok(self)
    }

    /// Adds a tool.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a tool or a step has its name.
    pub fn tool(&mut self, tool: DynTool) -> Result<()> {
        let name = tool.spec().name.clone();
        check_free(&self.steps, "step", &name)?;
        insert(&mut self.tools, "tool", name, tool, &self.owner)
    }

    /// Adds a model under its own [name](Model::name), such as `mine/small`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a model has its name.
    pub fn model(&mut self, model: impl Model) -> Result<()> {
        let name = model.name().to_owned();
        insert(&mut self.models, "model", name, Arc::new(model) as Arc<dyn Model>, &self.owner)
    }

    /// Adds a provider of models: with the provider `mine`, the model `mine/anything` is what `make` returns for `anything`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a provider has this name.
    pub fn provider<M, F>(&mut self, name: impl Into<String>, make: F) -> Result<()>
    where
        M: Model,
        F: Fn(&str) -> Result<M> + Send + Sync + 'static,
    {
        let make: Provider = Arc::new(move |name| Ok(Arc::new(make(name)?) as Arc<dyn Model>));
        insert(&mut self.providers, "provider", name.into(), make, &self.owner)
    }

    /// Adds a step from JSON to JSON. Flow files call it as they call tools; models cannot.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a step or a tool has this name.
    pub fn step<S>(&mut self, name: impl Into<String>, description: impl Into<String>, step: S) -> Result<()>
    where
        S: Step<In = Value, Out = Value>,
    {
        let name = name.into();
        check_free(&self.tools, "tool", &name)?;
        let step = RegisteredStep { description: description.into(), step: Arc::new(step.boxed()) };
        insert(&mut self.steps, "step", name, step, &self.owner)
    }

    /// Adds an event sink; see [`Registry::observe`].
    pub fn sink(&mut self, sink: impl EventSink) {
        self.sinks.push(Arc::new(sink));
    }

    /// Returns a context that passes the events below it to every sink of this registry.
    pub fn observe(&self, cx: &Context) -> Context {
        let sinks = self.sinks.iter().cloned();
        sinks.fold(cx.clone(), |cx, sink| cx.with_sink(move |event: &Event| sink.record(event)))
    }

    /// Returns the tool with this name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is none; the hint lists the known names.
    pub fn find_tool(&self, name: &str) -> Result<&DynTool> {
        self.tools.get(name).map(|entry| &entry.value).ok_or_else(|| missing("tool", name, self.tools.keys()))
    }

    /// Returns the step with this name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is none; the hint lists the known names.
    pub fn find_step(&self, name: &str) -> Result<&RegisteredStep> {
        self.steps.get(name).map(|entry| &entry.value).ok_or_else(|| missing("step", name, self.steps.keys()))
    }

    /// Returns the model with this name, or one from its provider.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is neither; the hint lists the known names. Every error of the
    /// provider, such as a missing key.
    pub fn find_model(&self, name: &str) -> Result<Arc<dyn Model>> {
        if let Some(entry) = self.models.get(name) {
            return Ok(entry.value.clone());
        }
        if let Some((provider, model)) = name.split_once('/')
            && let Some(entry) = self.providers.get(provider)
        {
            return (entry.value)(model);
        }
        let providers: Vec<_> = self.providers.keys().map(|provider| format!("{provider}/…")).collect();
        Err(missing("model", name, self.models.keys().chain(&providers)))
    }

    /// Returns the specifications of the tools, ordered by name.
    pub fn tools(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(|entry| entry.value.spec())
    }

    /// Returns the names of the models.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Returns the names of the providers, without the trailing `/`.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Returns the steps with their names.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &RegisteredStep)> {
        self.steps.iter().map(|(name, entry)| (name.as_str(), &entry.value))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("tools", &self.tools.keys())
            .field("models", &self.models.keys())
            .field("providers", &self.providers.keys())
            .field("steps", &self.steps.keys())
            .field("sinks", &self.sinks.len())
            .finish()
    }
}

fn insert<T>(
    entries: &mut BTreeMap<String, Registered<T>>,
    what: &str,
    name: String,
    value: T,
    owner: &Option<Arc<str>>,
) -> Result<()> {
    check_free(entries, what, &name)?;
    entries.insert(name, Registered { value, owner: owner.clone() });
    Ok(())
}

fn check_free<T>(entries: &BTreeMap<String, Registered<T>>, what: &str, name: &str) -> Result<()> {
    let Some(entry) = entries.get(name) else { return Ok(()) };
    let by = entry.owner.as_ref().map_or(String::new(), |owner| format!(", from the extension `{owner}`"));
    let error = Error::invalid(format!("{what} `{name}` exists already{by}"));
    Err(error.with_hint("rename one of them"))
}

fn missing<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a String>) -> Error {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let error = Error::invalid(format!("unknown {what} `{name}`"));
    if names.is_empty() {
        return error.with_hint(format!("no {what}s are registered"));
    }
    error.with_hint(suggest::hint(name, names, &format!("the {what}s are")))
}
