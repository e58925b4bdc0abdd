//! The prompts of a model: a text of the flow file, or a file.

use llmspell::Result;
use serde_json::Value;

use super::Template;
use super::prompt_file::PromptFile;

/// A prompt, ready to be rendered.
pub(crate) enum Prompt {
    Text(Template),
    File(PromptFile),
}

impl Prompt {
    /// Renders the text for one record.
    pub(crate) fn render(&self, scope: &minijinja::Value) -> Result<String> {
        match self {
            Prompt::Text(template) => Ok(match template.render(scope)? {
                Value::String(text) => text,
                other => other.to_string(),
            }),
            Prompt::File(file) => file.render(scope),
        }
    }
}
