//! Models of a flow file.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Short;
use super::modifiers::{AdaptiveDef, BreakerDef, RateDef};
use super::shorthand::{NoList, Shorthand};
use super::step::Modifiers;
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;

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
