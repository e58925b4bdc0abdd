//! The form of an answer: words as they come, JSON of a type, or JSON of a schema.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema_agent::Check;
use super::typed::short_name;
use crate::error::Error;
use crate::tool::Arguments;

/// What an answer has to be, and what becomes of one that is not.
pub(super) trait AnswerFormat: Sync {
    type Value: Send;

    /// The value in the answer; the complaint if there is none.
    fn read(&self, text: &str) -> Result<Self::Value, String>;

    /// What the model is told of the complaint, once.
    fn repair_prompt(&self, complaint: &str) -> String;

    /// The error if that was of no use.
    fn failed(&self, complaint: &str) -> Error;
}

/// Any words are an answer.
pub(super) struct TextFormat;

impl AnswerFormat for TextFormat {
    type Value = ();

    fn read(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn repair_prompt(&self, complaint: &str) -> String {
        complaint.to_owned()
    }

    fn failed(&self, complaint: &str) -> Error {
        Error::failed(complaint.to_owned())
    }
}

/// JSON that a `T` can be made of.
pub(super) struct Json<T>(pub(super) PhantomData<fn() -> T>);

impl<T: Arguments> AnswerFormat for Json<T> {
    type Value = T;

    fn read(&self, text: &str) -> Result<T, String> {
        read(text)
    }

    fn repair_prompt(&self, complaint: &str) -> String {
        repair_prompt(complaint, &T::schema())
    }

    fn failed(&self, complaint: &str) -> Error {
        let name = short_name(std::any::type_name::<T>());
        Error::failed(format!("the model did not answer with a {name}: {complaint}"))
            .with_hint("describe the fields in the type's documentation, or use a more capable model")
    }
}

/// JSON of a schema that is no type's.
pub(super) struct SchemaFormat {
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) check: Box<Check>,
}

impl AnswerFormat for SchemaFormat {
    type Value = Value;

    fn read(&self, text: &str) -> Result<Value, String> {
        let value = read(text)?;
        (self.check)(&value)?;
        Ok(value)
    }

    fn repair_prompt(&self, complaint: &str) -> String {
        repair_prompt(complaint, &self.schema)
    }

    fn failed(&self, complaint: &str) -> Error {
        let SchemaFormat { name, schema, .. } = self;
        Error::failed(format!("the model did not answer with the fields of `{name}`: {complaint}{}", fields(schema)))
            .with_hint("describe the fields, or use a more capable model")
    }
}

/// JSON in a text.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim();
    let complaint = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(complaint) => complaint,
    };
    // Some models put it into a block of code, or between words.
    let inner = block(text).or_else(|| object(text));
    match inner.map(serde_json::from_str) {
        Some(Ok(value)) => Ok(value),
        Some(Err(complaint)) => Err(told(&complaint)),
        None => Err(told(&complaint)),
    }
}

fn told(complaint: &serde_json::Error) -> String {
    match complaint.classify() {
        serde_json::error::Category::Data => complaint.to_string(),
        _ => format!("it is not JSON ({complaint})"),
    }
}

/// The fields that a schema names, for whoever reads the error.
fn fields(schema: &Value) -> String {
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let field = |(name, property): (&String, &Value)| {
        let kind = property["type"].as_str().map(|kind| format!(" ({kind})")).unwrap_or_default();
        format!("`{name}`{kind}{}", if required(name) { "" } else { ", which may be missing" })
    };
    let fields: Vec<String> = schema["properties"].as_object().into_iter().flatten().map(field).collect();
    if fields.is_empty() { String::new() } else { format!("; its fields are {}", fields.join("; ")) }
}

fn repair_prompt(complaint: &str, schema: &Value) -> String {
    format!("That is not what was asked for: {complaint}. Answer with nothing but JSON of this schema: {schema}")
}

/// What is in the first block of code.
fn block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```")?;
    let (block, _) = rest.split_once("```")?;
    Some(block.strip_prefix("json").unwrap_or(block).trim())
}

/// What is from the first brace to the last.
fn object(text: &str) -> Option<&str> {
    let (from, to) = (text.find('{')?, text.rfind('}')?);
    text.get(from..=to)
}
