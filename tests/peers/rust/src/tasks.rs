//! Tasks for function calling: `flows/data/tool-tasks.jsonl`, and the answers that their source accepts.

use std::collections::BTreeMap;
use std::fs::read_to_string;

use llmspell::Result;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A prompt of a user, and the available functions.
#[derive(Clone, Debug, Deserialize)]
pub struct Task {
    /// The name of the task in the source.
    pub id: String,
    /// Its category there.
    pub category: String,
    /// The prompt.
    pub prompt: String,
    /// The functions that may be called.
    pub functions: Vec<Function>,
}

/// A function on offer.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// The name.
    pub name: String,
    /// The description.
    pub description: String,
    /// Its parameters, in the types of the source's language.
    parameters: Value,
}

impl Function {
    /// The name as models may say it.
    pub fn callable(&self) -> String {
        self.name.replace('.', "_")
    }

    /// The JSON Schema of its arguments.
    pub fn schema(&self) -> Value {
        schema(&self.parameters)
    }
}

/// Reads all tasks.
///
/// # Errors
/// The file is not there, or something else.
pub fn read(path: &str) -> Result<Vec<Task>> {
    read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// For every argument of one call the values that are accepted.
pub type Accepted = BTreeMap<String, Vec<Value>>;

/// Reads the accepted arguments of the first call of every task, by the id of the task.
///
/// # Errors
/// The file is not there, or something else.
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

/// The types of Python as those of JSON Schema.
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

/// Whether a value is of the type that a schema says, with all that is required in it and nothing that is not there.
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

/// Whether every argument has a value that is accepted, and none is missing that has to be there.
pub fn is_right(arguments: &Value, accepted: &Accepted) -> bool {
    let Some(arguments) = arguments.as_object() else { return false };
    let may_be_missing = |values: &[Value]| values.iter().any(|value| value == "");
    let no_stranger = arguments.keys().all(|name| accepted.contains_key(name));
    no_stranger
        && accepted.iter().all(|(name, values)| match arguments.get(name) {
            Some(value) => values.iter().any(|accepted| is_same(value, accepted)),
            None => may_be_missing(values),
        })
}

/// Numbers by value, words without regard to case, spaces and punctuation, as the source compares them. In an object
/// every field has a list of what is accepted.
fn is_same(value: &Value, accepted: &Value) -> bool {
    let plain = |text: &str| text.to_lowercase().replace([' ', ',', '.', '/', '-', '_', '*', '^', '\'', '"'], "");
    match (value, accepted) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => plain(one) == plain(other),
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
    fn types_of_python_become_those_of_json_schema() {
        let parameters =
            json!({ "type": "dict", "properties": { "at": { "type": "tuple", "items": { "type": "float" } } } });
        let expected =
            json!({ "type": "object", "properties": { "at": { "type": "array", "items": { "type": "number" } } } });
        assert_eq!(schema(&parameters), expected);
        assert!(fits(&json!({ "at": [1, 2.5] }), &expected) && !fits(&json!({ "at": ["1"] }), &expected));
    }

    #[test]
    fn an_answer_is_right_as_its_source_says() {
        let accepted: Accepted =
            serde_json::from_value(json!({ "base": [10], "unit": ["units", ""] })).unwrap_or_default();
        assert!(is_right(&json!({ "base": 10.0 }), &accepted));
        assert!(is_right(&json!({ "base": 10, "unit": "Units" }), &accepted));
        assert!(!is_right(&json!({ "base": 11 }), &accepted) && !is_right(&json!({ "unit": "units" }), &accepted));
        assert!(!is_right(&json!({ "base": 10, "height": 1 }), &accepted));
    }
}
