//! Agents and models of a flow file.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::InputDef;
use super::Short;
use super::modifiers::{AdaptiveDef, BreakerDef, Modifiers, RateDef};
use super::shorthand::{NoList, Shorthand};
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;

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

/// A model that agents can name.
#[derive(Clone, Debug)]
pub(crate) struct ModelDef {
    pub(crate) model: Located<String>,
    pub(crate) endpoint: Option<Located<String>>,
    pub(crate) key: Option<Located<String>>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) options: Mapping<Node>,
    pub(crate) prices: Option<PricesDef>,
    pub(crate) limit: Option<Located<u32>>,
    pub(crate) adaptive: Option<Located<Short<AdaptiveDef>>>,
    pub(crate) rate: Option<Located<Short<RateDef>>>,
    pub(crate) breaker: Option<Located<Short<BreakerDef>>>,
}

impl ModelDef {
    /// Returns the modifiers that limit the model.
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

/// A model, its options, and the limits on the calls of all agents together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Model")]
pub(crate) struct ModelTable {
    /// The provider and the name of the model, such as `openai/gpt-4.1-mini`.
    model: Located<String>,
    /// The address of a server other than the provider's. `allow` must list its host, and only the key under `key` is
    /// sent to it.
    endpoint: Option<Located<String>>,
    /// The name of the environment variable with the key, if it is not the usual one.
    key: Option<Located<String>>,
    /// The sampling temperature, from 0.
    temperature: Option<f64>,
    /// The maximum number of tokens in one answer.
    max_output_tokens: Option<u32>,
    /// Further options, passed to the provider unchanged.
    #[serde(default)]
    options: Mapping<Node>,
    /// The prices of the model, for reports and budgets.
    prices: Option<PricesDef>,
    /// The maximum number of calls at a time, of all agents together.
    #[schemars(range(min = 1))]
    limit: Option<Located<u32>>,
    /// A limit that adapts to the responses of the server.
    adaptive: Option<Located<Short<AdaptiveDef>>>,
    /// The maximum number of calls and tokens per period, of all agents together.
    rate: Option<Located<Short<RateDef>>>,
    /// A circuit breaker: rejects calls for a time after too many failures.
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
            options: Mapping::default(),
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

/// The prices of a model for a million tokens.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Prices")]
pub(crate) struct PricesDef {
    /// The price of input tokens.
    pub(crate) input: f64,
    /// The price of output tokens.
    pub(crate) output: f64,
}
