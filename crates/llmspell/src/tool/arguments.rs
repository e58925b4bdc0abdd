//! Arguments of tools: their JSON Schema, and how to read them from JSON.

use std::borrow::Cow;
use std::fmt;

#[cfg(feature = "schema")]
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Arguments that come from JSON and have a JSON Schema.
///
/// With the default feature `schema`, every type that derives `schemars::JsonSchema` implements it. Without the feature,
/// only `serde_json::Value` and `()` do. `()` stands for no arguments.
///
/// The trait is sealed, because an implementation outside of this crate would not compile when another crate of the
/// program enables the feature. A type without `JsonSchema` needs only `Deserialize` in
/// [`Tool::from_parts`](crate::Tool::from_parts) and [`Agent::typed_from_schema`](crate::Agent::typed_from_schema),
/// which take the schema as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a tool, or the answer of an agent",
    label = "this type has no JSON Schema",
    note = "derive `serde::Deserialize` and `llmspell::schemars::JsonSchema`, with `#[schemars(crate = \"llmspell::schemars\")]`",
    note = "or pass a schema as JSON to `Tool::from_parts` or `Agent::typed_from_schema`"
)]
pub trait Arguments: sealed::Sealed + DeserializeOwned + Send + 'static {
    /// Returns the JSON Schema of the arguments: an object with a property for each.
    fn schema() -> Value;
}

mod sealed {
    /// Keeps the impls of [`Arguments`](super::Arguments) in this crate.
    pub trait Sealed {}

    #[cfg(feature = "schema")]
    impl<T: schemars::JsonSchema> Sealed for T {}

    #[cfg(not(feature = "schema"))]
    impl Sealed for serde_json::Value {}

    #[cfg(not(feature = "schema"))]
    impl Sealed for () {}
}

#[cfg(feature = "schema")]
impl<T: DeserializeOwned + schemars::JsonSchema + Send + 'static> Arguments for T {
    fn schema() -> Value {
        // Nested types are inlined, not put into `$defs`: some servers that compile the schema into a grammar ignore
        // `$defs`, and then accept anything. Only recursive types still use references.
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        // Models have the tool's name and description already. The Rust name of the type adds nothing.
        schema.remove("$schema");
        schema.remove("title");
        if schema.get("type").is_none() && schema.as_bool() == Some(true) {
            return json!({ "type": "object" });
        }
        schema.into()
    }
}

/// Any arguments.
#[cfg(not(feature = "schema"))]
impl Arguments for Value {
    fn schema() -> Value {
        json!({ "type": "object" })
    }
}

/// No arguments.
#[cfg(not(feature = "schema"))]
impl Arguments for () {
    fn schema() -> Value {
        json!({ "type": "null" })
    }
}

/// Returns the schema of a tool's arguments. For a unit type, this is an empty object, which is what models send.
pub(super) fn parameters<T: Arguments>() -> Value {
    let schema = T::schema();
    if schema["type"] == "null" { json!({ "type": "object", "properties": {} }) } else { schema }
}

/// Reads the arguments that a model has sent.
///
/// # Errors
/// An error for which [`is_bad_arguments`] is true.
pub(super) fn read<T: DeserializeOwned>(input: Value) -> Result<T> {
    // Unit types are `null` in JSON, but models send `{}`.
    let is_unit = size_of::<T>() == 0 && input.as_object().is_some_and(serde_json::Map::is_empty);
    let unit = || is_unit.then(|| serde_json::from_value(Value::Null).ok()).flatten();
    serde_json::from_value(input).or_else(|error| {
        let message = format!("invalid arguments: {error}");
        unit().ok_or_else(|| bad_arguments_error(message.into(), Some(error)))
    })
}

impl Error {
    /// Creates an error of the kind [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for invalid arguments of a tool.
    ///
    /// An agent treats it as a mistake of its model. The model receives the schema and can try again, independently of
    /// the agent's setting for [failed tools](crate::agent::ToolFailure).
    ///
    /// Tools that check their arguments themselves use it. Arguments that do not deserialize into the tool's type fail
    /// like this by default.
    pub fn bad_arguments(message: impl Into<Cow<'static, str>>) -> Self {
        bad_arguments_error(message.into(), None)
    }
}

fn bad_arguments_error(message: Cow<'static, str>, source: Option<serde_json::Error>) -> Error {
    Error::invalid(message.clone()).with_source(BadArguments { message, source })
}

/// Returns whether the error reports invalid arguments of a tool.
pub(crate) fn is_bad_arguments(error: &Error) -> bool {
    error.downcast_ref::<BadArguments>().is_some()
}

/// The source that distinguishes invalid arguments from other invalid input, such as an invalid request of a model
/// inside the tool.
#[derive(Debug)]
struct BadArguments {
    /// The message of the error itself, so that reports print it once.
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
