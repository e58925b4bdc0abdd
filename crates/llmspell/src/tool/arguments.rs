//! Arguments of tools, and what JSON they are made of.

#[cfg(feature = "schema")]
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Arguments that come from JSON and can be described by a JSON Schema.
///
/// With the feature `schema`, on by default, every type that derives
/// `schemars::JsonSchema` has it. Without, it takes three lines:
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
    message = "`{Self}` cannot be the arguments of a tool",
    label = "these arguments have no JSON Schema",
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
