//! Tasks for function calling: `flows/data/tool-tasks.jsonl`, and the answers that their source accepts.

use std::collections::BTreeMap;
use std::fs::read_to_string;

use llmspell::Result;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A question of a user, and the functions that the model may call.
#[derive(Clone, Debug, Deserialize)]
pub struct Task {
    /// The id of the task in the source.
    pub id: String,
    /// The category of the task in the source.
    pub category: String,
    /// The user's question.
    pub prompt: String,
    /// The functions that may be called.
    pub functions: Vec<Function>,
}

/// A function that the model may call.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// The name.
    pub name: String,
    /// The description.
    pub description: String,
    /// The parameters, with the types of Python.
    parameters: Value,
}

impl Function {
    /// Returns the name in the characters that models may use.
    pub fn callable(&self) -> String {
        self.name.replace('.', "_")
    }

    /// Returns the JSON Schema of the arguments.
    pub fn schema(&self) -> Value {
        schema(&self.parameters)
    }
}

/// Reads all tasks.
///
/// # Errors
/// If the file cannot be read or parsed.
pub fn read(path: &str) -> Result<Vec<Task>> {
    read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The accepted values of each argument of one call.
pub type Accepted = BTreeMap<String, Vec<Value>>;

/// Reads the accepted arguments of the first call of every task, by the id of the task.
///
/// # Errors
/// If the file cannot be read or parsed.
pub fn read_answers(path: &str) -> Result<BTreeMap<String, Accepted>> {
    #[derive(Deserialize)]
    struct Answer {
        id: String,
        ground_truth: Vec<BTreeMap<String, Accepted>>,
    }
    let answer = |line: &str| -> Result<Option<(String, Accepted)>> {
        let answer: Answer = serde_json::from_str(line)?;
        let call = answer.ground_truth.into_iter().next().and_then(|call| call.into_values().next());
        Ok(call.map(|call| (answer.id, call)))
    };
    read_to_string(path)?.lines().filter_map(|line| answer(line).transpose()).collect()
}

/// Converts the types of Python to those of JSON Schema.
fn schema(parameters: &Value) -> Value {
    let Some(fields) = parameters.as_object() else { return json!({}) };
    let mut out = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("type", Value::String(name)) => match name.as_str() {
                "dict" => "object".into(),
                "float" => "number".into(),
                "tuple" => "array".into(),
                "any" => continue,
                other => other.into(),
            },
            ("items", items) => schema(items),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, property)| (name.clone(), schema(property))).collect()
            }
            (_, other) => other.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// Returns whether a value matches a schema: its type, all required properties, and no unknown property.
pub fn fits(value: &Value, schema: &Value) -> bool {
    match schema["type"].as_str() {
        Some("object") => value.as_object().is_some_and(|object| {
            let properties = schema["properties"].as_object();
            let required = schema["required"].as_array().into_iter().flatten();
            required.filter_map(Value::as_str).all(|name| object.contains_key(name))
                && object.iter().all(|(name, value)| match properties {
                    Some(properties) => properties.get(name).is_some_and(|schema| fits(value, schema)),
                    None => true,
                })
        }),
        Some("array") => {
            value.as_array().is_some_and(|values| values.iter().all(|value| fits(value, &schema["items"])))
        }
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    }
}

/// Returns whether every argument has an accepted value, and no required argument is missing.
pub fn is_right(arguments: &Value, accepted: &Accepted) -> bool {
    let Some(arguments) = arguments.as_object() else { return false };
    let may_be_missing = |values: &[Value]| values.iter().any(|value| value == "");
    let all_known = arguments.keys().all(|name| accepted.contains_key(name));
    all_known
        && accepted.iter().all(|(name, values)| match arguments.get(name) {
            Some(value) => values.iter().any(|accepted| is_same(value, accepted)),
            None => may_be_missing(values),
        })
}

/// Compares values like the source does: numbers by value, strings without case, spaces and punctuation. In an object,
/// every field has a list of accepted values.
fn is_same(value: &Value, accepted: &Value) -> bool {
    let normalized = |text: &str| text.to_lowercase().replace([' ', ',', '.', '/', '-', '_', '*', '^', '\'', '"'], "");
    match (value, accepted) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => normalized(one) == normalized(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => other.iter().all(|(name, values)| {
            let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
            match one.get(name) {
                Some(value) => values.iter().any(|accepted| is_same(value, accepted)),
                None => values.iter().any(|value| value == ""),
            }
        }),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_types_become_json_schema_types() {
        let parameters =
            json!({ "type": "dict", "properties": { "at": { "type": "tuple", "items": { "type": "float" } } } });
        let expected =
            json!({ "type": "object", "properties": { "at": { "type": "array", "items": { "type": "number" } } } });
        assert_eq!(schema(&parameters), expected);
        assert!(fits(&json!({ "at": [1, 2.5] }), &expected) && !fits(&json!({ "at": ["1"] }), &expected));
    }

    #[test]
    fn answers_are_compared_like_in_the_source() {
        let accepted: Accepted =
            serde_json::from_value(json!({ "base": [10], "unit": ["units", ""] })).unwrap_or_default();
        assert!(is_right(&json!({ "base": 10.0 }), &accepted));
        assert!(is_right(&json!({ "base": 10, "unit": "Units" }), &accepted));
        assert!(!is_right(&json!({ "base": 11 }), &accepted) && !is_right(&json!({ "unit": "units" }), &accepted));
        assert!(!is_right(&json!({ "base": 10, "height": 1 }), &accepted));
    }
}
