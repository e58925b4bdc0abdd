//! What a program can name: tools, models and steps, and the extensions that bring them.

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

/// Something that adds tools, models, steps and readers of events to a [`Registry`]: a crate of yours, or of
/// somebody else's. It can be used as a trait object: a list of `Box<dyn Extension>` is one of extensions.
///
/// ```
/// use llmspell_test::SimulatedModel;
/// use llmspell::tool::DynTool;
/// use llmspell::{Extension, Registry, Result, step};
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
///         registry.tool(DynTool::from_schema("greet", "Greets somebody.", parameters, greet))?;
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
    /// What it is called where something is wrong with it.
    fn name(&self) -> &str;

    /// Adds what it brings; what another extension brings, too, if it is made of several.
    ///
    /// # Errors
    /// Whatever keeps it from working, such as a file that it needs.
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

/// Tools, models and steps by their names.
///
/// Flow files and the command line see what is in it. It is filled when a program starts, and only read after
/// that; a clone is cheap to make and has a life of its own.
#[derive(Clone, Default)]
pub struct Registry {
    tools: BTreeMap<String, Entry<DynTool>>,
    models: BTreeMap<String, Entry<Arc<dyn Model>>>,
    providers: BTreeMap<String, Entry<Provider>>,
    steps: BTreeMap<String, Entry<RegisteredStep>>,
    sinks: Vec<Arc<dyn EventSink>>,
    /// The extension that is adding, if one is.
    owner: Option<Arc<str>>,
}

type Provider = Arc<dyn Fn(&str) -> Result<Arc<dyn Model>> + Send + Sync>;

#[derive(Clone)]
struct Entry<T> {
    value: T,
    owner: Option<Arc<str>>,
}

/// A step from JSON to JSON that has a name in a [`Registry`].
#[derive(Clone)]
#[non_exhaustive]
pub struct RegisteredStep {
    /// What it does, in a sentence or two.
    pub description: String,
    /// The step.
    pub step: Arc<BoxStep<Value, Value>>,
}

impl Registry {
    /// One with nothing in it.
    pub fn new() -> Self {
        Registry::default()
    }

    /// This registry with everything that `extension` brings.
    ///
    /// # Errors
    /// Of the kind that the extension fails with; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it brings a name that is
    /// taken: the error says who has it.
    pub fn with(mut self, extension: impl Extension) -> Result<Self> {
        let name: Arc<str> = Arc::from(extension.name());
        // An extension may add others.
        let around = self.owner.replace(name.clone());
        if let Err(cause) = extension.register(&mut self) {
            let error =
                Error::new(cause.kind(), format!("the extension `{name}` cannot be added: {}", cause.message()));
            return Err(cause.hint().map(str::to_owned).into_iter().fold(error, Error::with_hint));
        }
        self.owner = around;
        Ok(self)
    }

    /// Adds a tool.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is a tool or a step of its name.
    pub fn tool(&mut self, tool: DynTool) -> Result<()> {
        let name = tool.spec().name.clone();
        check_free(&self.steps, "step", &name)?;
        insert(&mut self.tools, "tool", name, tool, &self.owner)
    }

    /// Adds a model under its own [name](Model::name), such as `mine/small`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is a model of its name.
    pub fn model(&mut self, model: impl Model) -> Result<()> {
        let name = model.name().to_owned();
        insert(&mut self.models, "model", name, Arc::new(model) as Arc<dyn Model>, &self.owner)
    }

    /// Adds a provider of models: `mine/anything` is what `make` makes of `anything`, if the provider is `mine`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is a provider of its name.
    pub fn provider<M, F>(&mut self, name: impl Into<String>, make: F) -> Result<()>
    where
        M: Model,
        F: Fn(&str) -> Result<M> + Send + Sync + 'static,
    {
        let make: Provider = Arc::new(move |name| Ok(Arc::new(make(name)?) as Arc<dyn Model>));
        insert(&mut self.providers, "provider", name.into(), make, &self.owner)
    }

    /// Adds a step from JSON to JSON: flow files call it as they call tools, models do not.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is a step or a tool of this name.
    pub fn step<S>(&mut self, name: impl Into<String>, description: impl Into<String>, step: S) -> Result<()>
    where
        S: Step<In = Value, Out = Value>,
    {
        let name = name.into();
        check_free(&self.tools, "tool", &name)?;
        let step = RegisteredStep { description: description.into(), step: Arc::new(step.boxed()) };
        insert(&mut self.steps, "step", name, step, &self.owner)
    }

    /// Adds a reader of events; see [`Registry::observe`].
    pub fn sink(&mut self, sink: impl EventSink) {
        self.sinks.push(Arc::new(sink));
    }

    /// The context, with the events below it handed to every reader that was added.
    pub fn observe(&self, cx: &Context) -> Context {
        let sinks = self.sinks.iter().cloned();
        sinks.fold(cx.clone(), |cx, sink| cx.with_sink(move |event: &Event| sink.record(event)))
    }

    /// A tool by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the names there are, if there is none.
    pub fn find_tool(&self, name: &str) -> Result<&DynTool> {
        self.tools.get(name).map(|entry| &entry.value).ok_or_else(|| missing("tool", name, self.tools.keys()))
    }

    /// A step by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the names there are, if there is none.
    pub fn find_step(&self, name: &str) -> Result<&RegisteredStep> {
        self.steps.get(name).map(|entry| &entry.value).ok_or_else(|| missing("step", name, self.steps.keys()))
    }

    /// A model by its name, or one that its provider makes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with what there is, if there is neither, and whatever keeps the
    /// provider from making it, such as a missing key.
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

    /// What there is to know of each tool, by name.
    pub fn tools(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(|entry| entry.value.spec())
    }

    /// The names of the models.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The names of the providers, without the `/` behind them.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The steps by their names.
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
    entries: &mut BTreeMap<String, Entry<T>>,
    what: &str,
    name: String,
    value: T,
    owner: &Option<Arc<str>>,
) -> Result<()> {
    check_free(entries, what, &name)?;
    entries.insert(name, Entry { value, owner: owner.clone() });
    Ok(())
}

fn check_free<T>(entries: &BTreeMap<String, Entry<T>>, what: &str, name: &str) -> Result<()> {
    let Some(entry) = entries.get(name) else { return Ok(()) };
    let by = entry.owner.as_ref().map_or(String::new(), |owner| format!(", from the extension `{owner}`"));
    let error = Error::invalid(format!("there is a {what} `{name}` already{by}"));
    Err(error.with_hint("give one of them another name"))
}

fn missing<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a String>) -> Error {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let error = Error::invalid(format!("there is no {what} `{name}`"));
    if names.is_empty() {
        return error.with_hint(format!("no {what}s are registered"));
    }
    error.with_hint(suggest::hint(name, names, &format!("the {what}s are")))
}
