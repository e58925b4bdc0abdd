//! How a record is made of what was read: types for what has none, texts of files, fields that the user sets.

use llmspell::{Context, Result};
use llmspell_flow::Flow;
use llmspell_flow::internal::Inputs;
use serde_json::{Map, Value};

use super::file_text;

/// The same for all records of a run.
#[derive(Default)]
pub(crate) struct RecordDecoder {
    /// Whether values are text only because the format knows nothing else.
    pub(crate) is_untyped: bool,
    /// Whether a record is a file, whose text is still to be read.
    pub(crate) is_file: bool,
    /// Fields that every record has, whatever it says itself.
    pub(crate) set: Vec<(String, Value)>,
    /// What the flow asks for.
    pub(crate) inputs: Inputs,
    /// The field that records are known by.
    pub(crate) key: Option<Box<str>>,
}

impl RecordDecoder {
    /// Takes over what the flow asks for.
    pub(crate) fn configure(&mut self, flow: &Flow) {
        self.inputs = flow.inputs().clone();
        self.key = flow.key().map(Box::from);
    }

    /// Whether what a record says in a field decides anything: all do if the flow does not declare which.
    pub(crate) fn wants(&self, field: &str) -> bool {
        let is_set = self.set.iter().any(|(name, _)| name == field);
        let is_key = self.key.as_deref() == Some(field);
        is_key || !is_set && self.inputs.names().is_none_or(|names| names.contains(&field))
    }

    pub(crate) async fn decode(&self, record: Value, cx: &Context) -> Result<Value> {
        if !self.is_untyped && !self.is_file && self.set.is_empty() {
            return Ok(record);
        }
        // What is no object is told by the flow.
        let Value::Object(mut fields) = record else { return Ok(record) };
        if self.is_untyped {
            self.inputs.type_texts(&mut fields)?;
        }
        for (name, value) in &self.set {
            fields.insert(name.clone(), value.clone());
        }
        if self.wants_text(&fields) { file_text::with_text(fields, cx).await } else { Ok(Value::Object(fields)) }
    }

    /// Files may be anything: only a flow that may look at their text has them read.
    fn wants_text(&self, fields: &Map<String, Value>) -> bool {
        let asked = self.inputs.names().is_none_or(|names| names.contains(&"text"));
        self.is_file && asked && !fields.contains_key("text")
    }
}
