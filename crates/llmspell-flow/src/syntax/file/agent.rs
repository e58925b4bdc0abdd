//! Agents and models of a flow file.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::InputDef;
use super::Short;
use super::modifiers::{AdaptiveDef, BreakerDef, Modifiers, RateDef};
use super::shorthand::{NoList, Shorthand};
use crate::syntax::entries::Entries;
use crate::syntax::located::Located;
use crate::syntax::node::Node;

/// A model that may call tools until it answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Agent")]
pub(crate) struct AgentDef {
    /// A model of `models`, or one by its full name, such as `openai/gpt-4.1-mini`; left out, that of `defaults`.
    pub(crate) model: Option<Located<String>>,
    /// What the model is told about its task: a text with templates, or `{ file: prompts/system.md.j2 }`.
    pub(crate) system: Option<Located<Short<PromptDef>>>,
    /// What it is asked: a text with templates, or `{ file: prompts/ask.md.j2 }`.
    pub(crate) prompt: Located<Short<PromptDef>>,
    /// The tools that it may call.
    #[serde(default)]
    pub(crate) tools: Vec<Located<String>>,
    /// The fields of its answer; left out, the answer is a text.
    pub(crate) answer: Option<Entries<InputDef>>,
    /// How often the model is asked at most, the turns in which it calls tools included. The default is 16.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_turns: Option<Located<u32>>,
    /// How many of its tool calls run at once. The default is 8.
    #[schemars(range(min = 1))]
    pub(crate) tool_limit: Option<Located<u32>>,
    /// How many tokens all its turns may use.
    #[schemars(range(min = 1))]
    pub(crate) max_tokens: Option<Located<u64>>,
    /// What all its turns may cost, in the currency of the model's prices.
    pub(crate) max_cost: Option<Located<f64>>,
    /// Whether what it has said is the answer, marked as partial, if its time or its turns run out.
    #[serde(default)]
    pub(crate) partial: bool,
}

/// A prompt: a text with templates, or a file.
#[derive(Clone, Debug)]
pub(crate) enum PromptDef {
    Text(String),
    File { file: String },
}

/// A prompt in a file of its own, beside the flow; there `{{ }}` and `{% %}` are those of Jinja.
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

/// A model that agents can name.
#[derive(Clone, Debug)]
pub(crate) struct ModelDef {
    pub(crate) model: Located<String>,
    pub(crate) endpoint: Option<Located<String>>,
    pub(crate) key: Option<Located<String>>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) options: Entries<Node>,
    pub(crate) prices: Option<PricesDef>,
    pub(crate) limit: Option<Located<u32>>,
    pub(crate) adaptive: Option<Located<Short<AdaptiveDef>>>,
    pub(crate) rate: Option<Located<Short<RateDef>>>,
    pub(crate) breaker: Option<Located<Short<BreakerDef>>>,
}

impl ModelDef {
    /// What the model is limited by.
    pub(crate) fn modifiers(&self) -> Modifiers {
        Modifiers {
            limit: self.limit.clone(),
            adaptive: self.adaptive.clone(),
            rate: self.rate.clone(),
            breaker: self.breaker.clone(),
            ..Modifiers::default()
        }
    }
}

/// A model, how it is called, and what all agents together may ask of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Model")]
pub(crate) struct ModelTable {
    /// The provider and the name of the model, such as `openai/gpt-4.1-mini`.
    model: Located<String>,
    /// Where it is served, if not at its provider's: `allow` has to ask for the host, and no key is sent but that of
    /// `key`.
    endpoint: Option<Located<String>>,
    /// The name of the environment variable that holds its key, if not the usual one.
    key: Option<Located<String>>,
    /// How freely it chooses its words, from 0.
    temperature: Option<f64>,
    /// How long one answer may be.
    max_output_tokens: Option<u32>,
    /// Whatever else the provider wants to hear.
    #[serde(default)]
    options: Entries<Node>,
    /// What it costs, for reports and budgets.
    prices: Option<PricesDef>,
    /// How many calls run at once, of all agents together.
    #[schemars(range(min = 1))]
    limit: Option<Located<u32>>,
    /// A limit that finds itself, by how the server answers.
    adaptive: Option<Located<Short<AdaptiveDef>>>,
    /// How many calls may start in a time, and how many tokens they may use, of all agents together.
    rate: Option<Located<Short<RateDef>>>,
    /// Refuses calls for a time once too many have failed.
    breaker: Option<Located<Short<BreakerDef>>>,
}

impl From<ModelTable> for ModelDef {
    fn from(table: ModelTable) -> Self {
        ModelDef {
            model: table.model,
            endpoint: table.endpoint,
            key: table.key,
            temperature: table.temperature,
            max_output_tokens: table.max_output_tokens,
            options: table.options,
            prices: table.prices,
            limit: table.limit,
            adaptive: table.adaptive,
            rate: table.rate,
            breaker: table.breaker,
        }
    }
}

impl Shorthand for ModelDef {
    type Table = ModelTable;
    type Item = NoList;
    const EXPECTED: &'static str = "a model such as openai/gpt-4.1-mini, or { model: …, rate: 60/min }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(ModelDef {
            model: Located { value: text.to_owned(), at: 0..0 },
            endpoint: None,
            key: None,
            temperature: None,
            max_output_tokens: None,
            options: Entries::default(),
            prices: None,
            limit: None,
            adaptive: None,
            rate: None,
            breaker: None,
        })
    }

    fn short(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "string" })]
    }
}

/// What a model costs for a million tokens.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Prices")]
pub(crate) struct PricesDef {
    /// What it reads.
    pub(crate) input: f64,
    /// What it says.
    pub(crate) output: f64,
}
