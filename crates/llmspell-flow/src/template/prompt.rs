//! What a model is told: a text of the flow file, or a document.

use llmspell::Result;
use serde_json::Value;

use super::{Document, Template};

/// A prompt, ready to be rendered.
pub(crate) enum Prompt {
    Text(Template),
    Document(Document),
}

impl Prompt {
    /// The text for one record.
    pub(crate) fn render(&self, scope: &minijinja::Value) -> Result<String> {
        match self {
            Prompt::Text(template) => Ok(match template.render(scope)? {
                Value::String(text) => text,
                other => other.to_string(),
            }),
            Prompt::Document(document) => document.render(scope),
        }
    }
}
