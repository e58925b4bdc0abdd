//! How a model is to answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a model is to answer. What is not set is left to the provider.
///
/// Read from a file, a name that is none of these is an error; what only one provider knows goes into
/// [`Options::extra`].
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
    /// How freely it chooses its words, from 0; most providers take up to 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The share of likely words it chooses from, up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// How many tokens it may answer with at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Asks for the same answer to the same request, where the provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Where it is to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How long it thinks before it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Whether it calls tools.
    #[serde(skip_serializing_if = "ToolChoice::is_auto")]
    pub tool_choice: ToolChoice,
    /// The form of its answer.
    #[serde(skip_serializing_if = "OutputFormat::is_text")]
    pub output: OutputFormat,
    /// What only one provider knows: sent along in the body of the request, on the top level.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Options {
    /// Everything as the provider has it.
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

    /// Adds a sequence to stop at.
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

    /// What no provider would take: the complaint and a hint, if there is one.
    pub(crate) fn complaint(&self) -> Option<(String, &'static str)> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if let Some(temperature) = self.temperature.filter(|t| !t.is_finite() || *t < 0.0) {
            let hint = "0 is the least free; most providers take up to 1 or 2";
            return Some((format!("a temperature of {temperature} is not a number from 0"), hint));
        }
        if let Some(top_p) = self.top_p.filter(|top_p| !is_share(*top_p)) {
            return Some((format!("a top_p of {top_p} is not between 0 and 1"), "1 lets it choose from all words"));
        }
        let hint = "leave `max_tokens` unset for as many as the provider gives";
        (self.max_tokens == Some(0)).then(|| ("with max_tokens 0 there is no answer".to_owned(), hint))
    }
}

/// Whether a model calls tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
}

impl ToolChoice {
    fn is_auto(&self) -> bool {
        *self == ToolChoice::Auto
    }
}

/// The form of a model's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputFormat {
    /// Words.
    #[default]
    Text,
    /// JSON of any shape.
    Json,
    /// JSON of this shape.
    #[non_exhaustive]
    Schema {
        /// What the shape is called.
        name: String,
        /// Its JSON Schema.
        schema: Value,
    },
}

impl OutputFormat {
    /// JSON of this JSON Schema, and what the provider is to call it.
    pub fn schema(name: impl Into<String>, schema: Value) -> Self {
        OutputFormat::Schema { name: name.into(), schema }
    }

    fn is_text(&self) -> bool {
        *self == OutputFormat::Text
    }
}

/// How long a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effort {
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// A lot.
    High,
}
