//! The options of a request: how the model should answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The options of a request. The provider decides about options that are not set.
///
/// When read from a file, an unknown name is an error. Put options of a single provider into [`Options::extra`].
///
/// ```
/// use llmspell::model::{Options, ToolChoice};
///
/// let options = Options::new().temperature(0.2).max_tokens(400).seed(7).tool_choice(ToolChoice::Required);
/// assert_eq!(options.max_tokens, Some(400));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The sampling temperature, from 0; most providers accept up to 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The probability mass that tokens are sampled from (nucleus sampling), up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The maximum number of tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The seed of sampling: requests the same answer to the same request, if the provider supports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The sequences that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The amount of reasoning before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Whether the model calls tools.
    #[serde(skip_serializing_if = "ToolChoice::is_auto")]
    pub tool_choice: ToolChoice,
    /// The format of the answer.
    #[serde(skip_serializing_if = "OutputFormat::is_text")]
    pub output: OutputFormat,
    /// Options of a single provider: sent at the top level of the request's body.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Options {
    /// Creates options with nothing set.
    pub fn new() -> Self {
        Options::default()
    }

    /// Sets [`Options::temperature`].
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets [`Options::top_p`].
    pub fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Sets [`Options::max_tokens`].
    pub fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Sets [`Options::seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds a stop sequence.
    pub fn stop(mut self, sequence: impl Into<String>) -> Self {
        self.stop.push(sequence.into());
        self
    }

    /// Sets [`Options::effort`].
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = Some(effort);
        self
    }

    /// Sets [`Options::tool_choice`].
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = choice;
        self
    }

    /// Sets [`Options::output`].
    pub fn output(mut self, format: OutputFormat) -> Self {
        self.output = format;
        self
    }

    /// Adds a field to the body of the request.
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// Returns the problem and a hint, if an option has a value that no provider accepts.
    pub(crate) fn problem(&self) -> Option<(String, &'static str)> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if let Some(temperature) = self.temperature.filter(|t| !t.is_finite() || *t < 0.0) {
            let hint = "set a number from 0; most providers accept up to 1 or 2";
            return Some((format!("invalid temperature `{temperature}`: expected a number from 0"), hint));
        }
        if let Some(top_p) = self.top_p.filter(|top_p| !is_share(*top_p)) {
            let hint = "set a number up to 1; 1 samples from all tokens";
            return Some((format!("invalid top_p `{top_p}`: expected a number from 0 to 1"), hint));
        }
        let hint = "leave `max_tokens` unset to use the provider's maximum";
        (self.max_tokens == Some(0)).then(|| ("`max_tokens` is 0: no answer is possible".to_owned(), hint))
    }
}

/// Whether the model calls tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// The model calls no tool.
    None,
    /// The model calls at least one tool.
    Required,
    /// The model calls this tool.
    Tool(String),
}

impl ToolChoice {
    fn is_auto(&self) -> bool {
        *self == ToolChoice::Auto
    }
}

/// The format of a model's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputFormat {
    /// Text.
    #[default]
    Text,
    /// JSON without a schema.
    Json,
    /// JSON of a schema.
    #[non_exhaustive]
    Schema {
        /// The name of the schema.
        name: String,
        /// The JSON Schema.
        schema: Value,
    },
}

impl OutputFormat {
    /// Creates the format of a JSON Schema. `name` is its name for the provider.
    pub fn schema(name: impl Into<String>, schema: Value) -> Self {
        OutputFormat::Schema { name: name.into(), schema }
    }

    fn is_text(&self) -> bool {
        *self == OutputFormat::Text
    }
}

/// The amount of reasoning before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effort {
    /// As little as possible.
    Minimal,
    /// A small amount.
    Low,
    /// A medium amount.
    Medium,
    /// A large amount.
    High,
}
