//! Arguments of tools, and what JSON they are made of.

use std::borrow::Cow;
use std::fmt;

#[cfg(feature = "schema")]
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Arguments that come from JSON and can be described by a JSON Schema.
///
/// With the feature `schema`, on by default, every type that derives `schemars::JsonSchema` has it. `()` stands for no
/// arguments.
///
/// Without the feature it takes three lines. An implementation by hand does not compile where another crate of the
/// program turns the feature on (E0119: the type could derive `JsonSchema` one day): implement `JsonSchema` by hand in
/// its place, or see to it that the whole program has `default-features = false`.
///
/// ```
/// use llmspell::tool::Arguments;
/// use serde_json::{Value, json};
///
/// #[derive(serde::Deserialize)]
/// struct Add {
///     a: f64,
///     b: f64,
/// }
///
/// impl Arguments for Add {
///     fn schema() -> Value {
///         json!({ "type": "object", "required": ["a", "b"],
///                 "properties": { "a": { "type": "number" }, "b": { "type": "number" } } })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a tool, or the answer of an agent",
    label = "this type has no JSON Schema",
    note = "derive `serde::Deserialize` and `llmspell::schemars::JsonSchema`, with `#[schemars(crate = \"llmspell::schemars\")]`",
    note = "or implement `Arguments` by hand"
)]
pub trait Arguments: DeserializeOwned + Send + 'static {
    /// The JSON Schema of the arguments: an object with a property for each.
    fn schema() -> Value;
}

#[cfg(feature = "schema")]
impl<T: DeserializeOwned + schemars::JsonSchema + Send + 'static> Arguments for T {
    fn schema() -> Value {
        // Types within types in their place, and not in `$defs`: servers that make a grammar of the schema do not all
        // look there, and then let anything pass. Only types that contain themselves are still referred to.
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        // Models are told the tool's name and description already; the Rust name of the type is noise.
        schema.remove("$schema");
        schema.remove("title");
        if schema.get("type").is_none() && schema.as_bool() == Some(true) {
            return json!({ "type": "object" });
        }
        schema.into()
    }
}

/// Any arguments at all.
#[cfg(not(feature = "schema"))]
impl Arguments for Value {
    fn schema() -> Value {
        json!({ "type": "object" })
    }
}

/// None at all.
#[cfg(not(feature = "schema"))]
impl Arguments for () {
    fn schema() -> Value {
        json!({ "type": "null" })
    }
}

/// The schema of a tool's arguments: for a type that holds nothing, that of an object with nothing in it, which is
/// what models send.
pub(super) fn parameters<T: Arguments>() -> Value {
    let schema = T::schema();
    if schema["type"] == "null" { json!({ "type": "object", "properties": {} }) } else { schema }
}

/// The arguments in what a model has sent.
///
/// # Errors
/// One that [is of the caller](is_of_the_caller).
pub(super) fn read<T: Arguments>(input: Value) -> Result<T> {
    // `()` and its like are `null` in JSON, and `{}` for models.
    let holds_nothing = size_of::<T>() == 0 && input.as_object().is_some_and(serde_json::Map::is_empty);
    let nothing = || holds_nothing.then(|| serde_json::from_value(Value::Null).ok()).flatten();
    serde_json::from_value(input).or_else(|error| {
        let message = format!("invalid arguments: {error}");
        nothing().ok_or_else(|| mistake(message.into(), Some(error)))
    })
}

impl Error {
    /// An error of the kind [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) that says that the arguments of a tool do not fit,
    /// for tools that check them themselves: an agent takes it for a mistake of its model, which is told the schema and
    /// can try again, whatever the agent does [when tools fail](crate::agent::ToolFailure).
    ///
    /// Arguments that cannot be read as the tool's type fail like this by themselves.
    pub fn bad_arguments(message: impl Into<Cow<'static, str>>) -> Self {
        mistake(message.into(), None)
    }
}

fn mistake(message: Cow<'static, str>, source: Option<serde_json::Error>) -> Error {
    Error::invalid(message.clone()).with_source(BadArguments { message, source })
}

/// Whether the error says that the arguments of a tool do not fit.
pub(crate) fn is_of_the_caller(error: &Error) -> bool {
    error.downcast_ref::<BadArguments>().is_some()
}

/// Tells arguments that do not fit from everything else that is invalid, such as a request that a model inside of the
/// tool has made.
#[derive(Debug)]
struct BadArguments {
    /// That of the error, so that it is told once.
    message: Cow<'static, str>,
    source: Option<serde_json::Error>,
}

impl fmt::Display for BadArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadArguments {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
