//! `json`: takes JSON values apart and puts them together.

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Json {
    /// The value; any JSON.
    value: Value,
    /// Parses the value as JSON text.
    #[serde(default)]
    parse: bool,
    /// Selects a part of the value by JSON Pointer, such as `/functions/0/name`.
    pointer: Option<String>,
    /// The value if nothing is at `pointer`; may be null. Without it, a missing value is an error.
    #[serde(default, deserialize_with = "given")]
    default: Option<Value>,
    /// Keeps only these fields.
    keep: Option<Vec<String>>,
    /// Removes these fields.
    #[serde(default)]
    drop: Vec<String>,
    /// Replaces string values by key at any depth: `{ type: { dict: object } }` turns `"type": "dict"` into `"type":
    /// "object"`.
    #[serde(default)]
    translate: BTreeMap<String, BTreeMap<String, Value>>,
    /// Adds these fields. Objects are merged; other values are replaced.
    #[serde(default)]
    merge: Map<String, Value>,
    /// Returns JSON text instead of a value.
    #[serde(default)]
    stringify: bool,
}

/// Distinguishes an explicit null from a missing field.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Returns the tool.
pub(crate) fn json() -> DynTool {
    Tool::new(
        "json",
        "Reads, picks, changes and writes JSON: parse, pointer, keep, drop, translate, merge, stringify, in this order.",
        run,
    )
    .erase()
}

async fn run(json: Json, _: Context) -> Result<Value> {
    let mut value = json.value;
    if json.parse {
        let Value::String(text) = &value else {
            return Err(Error::invalid(format!("`parse` needs text, not {}", kind(&value))));
        };
        value = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("invalid JSON: {error}")).with_source(error))?;
    }
    if let Some(pointer) = &json.pointer {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            let message = format!("`{pointer}` is not a JSON Pointer: it must begin with /");
            return Err(Error::invalid(message).with_hint(format!("write /{}", pointer.replace('.', "/"))));
        }
        value = match (value.pointer_mut(pointer), json.default) {
            (Some(part), _) => part.take(),
            (None, Some(default)) => default,
            (None, None) => {
                let message = format!("nothing found at `{pointer}`");
                return Err(Error::invalid(message).with_hint("give a `default` if the value is optional"));
            }
        };
    }
    if let Some(kept) = &json.keep {
        let fields = fields(&mut value, "keep")?;
        *fields = kept.iter().filter_map(|name| Some((name.clone(), fields.remove(name)?))).collect();
    }
    if !json.drop.is_empty() {
        fields(&mut value, "drop")?.retain(|name, _| !json.drop.contains(name));
    }
    if !json.translate.is_empty() {
        translate(&mut value, &json.translate);
    }
    if !json.merge.is_empty() {
        merge(fields(&mut value, "merge")?, json.merge);
    }
    Ok(if json.stringify { Value::String(value.to_string()) } else { value })
}

fn fields<'a>(value: &'a mut Value, why: &str) -> Result<&'a mut Map<String, Value>> {
    let found = kind(value);
    value.as_object_mut().ok_or_else(|| Error::invalid(format!("`{why}` needs an object, not {found}")))
}

/// The parser bounds the depth of JSON, so this recursion is bounded, too.
fn translate(value: &mut Value, tables: &BTreeMap<String, BTreeMap<String, Value>>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| translate(item, tables)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let table = tables.get(key);
                match value.as_str().and_then(|text| table?.get(text)) {
                    Some(new) => *value = new.clone(),
                    None => translate(value, tables),
                }
            }
        }
        _ => {}
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};

    use super::*;
    use serde_json::json as j;

    async fn call(arguments: Value) -> Result<Value> {
        json().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn it_reads_picks_and_writes() {
        let text = r#"{"a":{"b":[1,2]},"c":3}"#;
        assert_eq!(call(j!({ "value": text, "parse": true, "pointer": "/a/b/1" })).await.unwrap(), 2);
        assert_eq!(call(j!({ "value": {}, "pointer": "/x", "default": null })).await.unwrap(), Value::Null);
        assert_eq!(call(j!({ "value": {"a": 1, "b": 2}, "keep": ["b", "z"] })).await.unwrap(), j!({ "b": 2 }));
        assert_eq!(call(j!({ "value": {"a": 1, "b": 2}, "drop": ["b"] })).await.unwrap(), j!({ "a": 1 }));
        assert_eq!(call(j!({ "value": {"b": 1, "a": 2}, "stringify": true })).await.unwrap(), r#"{"b":1,"a":2}"#);
        let merged = call(j!({ "value": {"a": {"x": 1}, "b": 1}, "merge": {"a": {"y": 2}, "b": [] } })).await.unwrap();
        assert_eq!(merged, j!({ "a": {"x": 1, "y": 2}, "b": [] }));
    }

    #[tokio::test]
    async fn texts_are_translated_by_their_key() {
        let value = j!([{ "type": "dict", "properties": { "type": { "type": "float" }, "name": "dict" } }]);
        let out = call(j!({ "value": value, "translate": { "type": { "dict": "object", "float": "number" } } }));
        let wanted = j!([{ "type": "object", "properties": { "type": { "type": "number" }, "name": "dict" } }]);
        assert_eq!(out.await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused() {
        let wrong = [
            j!({ "value": "{", "parse": true }),
            j!({ "value": 1, "parse": true }),
            j!({ "value": {}, "pointer": "/x" }),
            j!({ "value": {}, "pointer": "x" }),
            j!({ "value": [], "merge": { "a": 1 } }),
            j!({ "value": 1, "keep": [] }),
            j!({ "value": 1, "prase": true }),
        ];
        for arguments in wrong {
            assert_eq!(call(arguments).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
