//! The formats of an answer: plain text, JSON of a type, or JSON of a schema.
//!
//! A format parses the answer and writes the prompt that asks the model to correct an invalid one. It does not call the
//! model.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// A check of an answer: returns what is wrong with it.
pub(super) type Check = dyn Fn(&Value) -> Result<(), String> + Send + Sync;

/// A format that the answer of an agent must have.
pub(super) trait AnswerFormat: Sync {
    type Value: Send;

    /// Returns the value in the answer, or the problem if there is none.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// Returns the message that asks the model to correct its answer. It is sent at most once.
    fn repair_prompt(&self, problem: &str) -> String;

    /// Returns the error for an answer that is still invalid after the repair prompt.
    fn failed(&self, problem: &str) -> Error;
}

/// Plain text: every answer is valid.
pub(super) struct TextFormat;

impl AnswerFormat for TextFormat {
    type Value = ();

    fn parse(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn repair_prompt(&self, problem: &str) -> String {
        problem.to_owned()
    }

    fn failed(&self, problem: &str) -> Error {
        Error::failed(problem.to_owned())
    }
}

/// JSON of a schema that deserializes into a `T`.
pub(super) struct Json<T> {
    schema: Value,
    output: PhantomData<fn() -> T>,
}

impl<T> Json<T> {
    pub(super) fn new(schema: Value) -> Self {
        Json { schema, output: PhantomData }
    }
}

impl<T: DeserializeOwned + Send> AnswerFormat for Json<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        parse(text)
    }

    fn repair_prompt(&self, problem: &str) -> String {
        repair_prompt(problem, &self.schema)
    }

    fn failed(&self, problem: &str) -> Error {
        let name = short_name(std::any::type_name::<T>());
        Error::failed(format!("the model did not answer with a {name}: {problem}"))
            .with_hint("describe the fields in the type's documentation, or use a more capable model")
    }
}

/// JSON of a schema without a Rust type.
pub(super) struct SchemaFormat {
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) check: Box<Check>,
}

impl AnswerFormat for SchemaFormat {
    type Value = Value;

    fn parse(&self, text: &str) -> Result<Value, String> {
        let value = parse(text)?;
        (self.check)(&value)?;
        Ok(value)
    }

    fn repair_prompt(&self, problem: &str) -> String {
        repair_prompt(problem, &self.schema)
    }

    fn failed(&self, problem: &str) -> Error {
        let SchemaFormat { name, schema, .. } = self;
        Error::failed(format!(
            "the model did not answer with the fields of `{name}`: {problem}{}",
            describe_fields(schema)
        ))
        .with_hint("describe the fields, or use a more capable model")
    }
}

/// Returns the value of the JSON in a text.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim();
    let problem = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(problem) => problem,
    };
    // Some models put the JSON into a code block, or between sentences.
    let inner = code_block(text).or_else(|| outermost_object(text));
    match inner.map(serde_json::from_str) {
        Some(Ok(value)) => Ok(value),
        Some(Err(problem)) => Err(json_problem(&problem)),
        None => Err(json_problem(&problem)),
    }
}

fn json_problem(problem: &serde_json::Error) -> String {
    match problem.classify() {
        serde_json::error::Category::Data => problem.to_string(),
        _ => format!("it is not JSON ({problem})"),
    }
}

/// Lists the fields of a schema for an error message.
fn describe_fields(schema: &Value) -> String {
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let field = |(name, property): (&String, &Value)| {
        let kind = property["type"].as_str().map(|kind| format!(" ({kind})")).unwrap_or_default();
        format!("`{name}`{kind}{}", if required(name) { "" } else { ", which may be missing" })
    };
    let describe_fields: Vec<String> = schema["properties"].as_object().into_iter().flatten().map(field).collect();
    if describe_fields.is_empty() { String::new() } else { format!("; its fields are {}", describe_fields.join("; ")) }
}

fn repair_prompt(problem: &str, schema: &Value) -> String {
    format!("That is not what was asked for: {problem}. Answer with nothing but JSON of this schema: {schema}")
}

/// Returns the content of the first code block.
fn code_block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```")?;
    let (code_block, _) = rest.split_once("```")?;
    Some(code_block.strip_prefix("json").unwrap_or(code_block).trim())
}

/// Returns the text from the first opening brace to the last closing brace.
fn outermost_object(text: &str) -> Option<&str> {
    let (from, to) = (text.find('{')?, text.rfind('}')?);
    text.get(from..=to)
}

/// Returns the name of a type without its module path, in characters that providers accept for the name of a schema.
pub(super) fn short_name(path: &str) -> String {
    let name = path.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or_default();
    let name: String =
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(64).collect();
    if name.is_empty() { "output".to_owned() } else { name }
}
