//! Decodes records: types for untyped values, texts of files, and fields that the user sets.

use llmspell::{Context, Result};
use llmspell_flow::Flow;
use llmspell_flow::internal::Inputs;
use serde_json::{Map, Value};

use super::file_text;

/// The decoder of all records of a run.
#[derive(Default)]
pub(crate) struct RecordDecoder {
    /// Whether values are text only because the format has no other type.
    pub(crate) is_untyped: bool,
    /// Whether a record is a file whose text must be read.
    pub(crate) is_file: bool,
    /// Fields that override those of every record.
    pub(crate) set: Vec<(String, Value)>,
    /// The inputs that the flow declares.
    pub(crate) inputs: Inputs,
    /// The field that is the key of a record.
    pub(crate) key: Option<Box<str>>,
}

impl RecordDecoder {
    /// Takes over the declarations of the flow.
    pub(crate) fn configure(&mut self, flow: &Flow) {
        self.inputs = flow.inputs().clone();
        self.key = flow.key().map(Box::from);
    }

    /// Whether the value of a field matters: all fields do if the flow declares no inputs.
    pub(crate) fn wants(&self, field: &str) -> bool {
        let is_set = self.set.iter().any(|(name, _)| name == field);
        let is_key = self.key.as_deref() == Some(field);
        is_key || !is_set && self.inputs.names().is_none_or(|names| names.contains(&field))
    }

    pub(crate) async fn decode(&self, record: Value, cx: &Context) -> Result<Value> {
        if !self.is_untyped && !self.is_file && self.set.is_empty() {
            return Ok(record);
        }
        // The flow reports a record that is not an object.
        let Value::Object(mut fields) = record else { return Ok(record) };
        if self.is_untyped {
            self.inputs.type_texts(&mut fields)?;
        }
        for (name, value) in &self.set {
            fields.insert(name.clone(), value.clone());
        }
        if self.wants_text(&fields) { file_text::with_text(fields, cx).await } else { Ok(Value::Object(fields)) }
    }

    /// Files may be anything, so the text is read only for a flow that may use it.
    fn wants_text(&self, fields: &Map<String, Value>) -> bool {
        let asked = self.inputs.names().is_none_or(|names| names.contains(&"text"));
        self.is_file && asked && !fields.contains_key("text")
    }
}
