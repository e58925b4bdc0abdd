//! Agents of a flow file.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::InputDef;
use super::Short;
use super::shorthand::{NoList, Shorthand};
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;

/// A model that may call tools until it answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Agent")]
pub(crate) struct AgentDef {
    /// A name under `models`, or the full name of a model, such as `openai/gpt-4.1-mini`. By default, the model of
    /// `defaults`.
    pub(crate) model: Option<Located<String>>,
    /// The system prompt: a text with templates, or `{ file: prompts/system.md.j2 }`.
    pub(crate) system: Option<Located<Short<PromptDef>>>,
    /// The prompt: a text with templates, or `{ file: prompts/ask.md.j2 }`.
    pub(crate) prompt: Located<Short<PromptDef>>,
    /// The tools that the model may call.
    #[serde(default)]
    pub(crate) tools: Vec<Located<String>>,
    /// The fields of the answer. By default, the answer is a text.
    pub(crate) answer: Option<Mapping<InputDef>>,
    /// The maximum number of model calls, including the turns that call tools. The default is 16.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_turns: Option<Located<u32>>,
    /// The maximum number of tool calls at a time. The default is 8.
    #[schemars(range(min = 1))]
    pub(crate) tool_limit: Option<Located<u32>>,
    /// The maximum number of tokens of all turns together.
    #[schemars(range(min = 1))]
    pub(crate) max_tokens: Option<Located<u64>>,
    /// The maximum cost of all turns together, in the currency of the model's prices.
    pub(crate) max_cost: Option<Located<f64>>,
    /// Whether an agent that runs out of time or turns returns its text so far, marked as partial, instead of failing.
    #[serde(default)]
    pub(crate) partial: bool,
}

/// A prompt: a text with templates, or a file.
#[derive(Clone, Debug)]
pub(crate) enum PromptDef {
    Text(String),
    File { file: String },
}

/// A prompt in a separate file, written as a Jinja template with `{{ }}` and `{% %}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PromptFile")]
pub(crate) struct PromptTable {
    /// The file, relative to the flow.
    file: String,
}

impl From<PromptTable> for PromptDef {
    fn from(table: PromptTable) -> Self {
        PromptDef::File { file: table.file }
    }
}

impl Shorthand for PromptDef {
    type Table = PromptTable;
    type Item = NoList;
    const EXPECTED: &'static str = "a text with templates, or { file: prompts/ask.md.j2 }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(PromptDef::Text(text.to_owned()))
    }

    fn short(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "string" })]
    }
}
