//! The types of a flow file. Its JSON Schema is derived from them, so their doc comments are the help that editors show.

mod agent;
mod declared;
mod expression;
mod model;
mod modifiers;
mod shorthand;
mod step;

pub(crate) use agent::{AgentDef, PromptDef};
pub(crate) use declared::{AllowDef, DefaultsDef, RunDef, ServerDef, ToolDef};
pub(crate) use expression::Expression;
pub(crate) use model::ModelDef;
pub(crate) use modifiers::{AdaptiveBy, AdaptiveDef, After, BreakerDef, HedgeDef, RateDef, RetryDef, RetryOn};
pub(crate) use shorthand::Short;
pub(crate) use step::{FirstDef, Modifiers, OnErrorDef, StepDef, StepsDef};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;

/// A flow: steps that turn one record into one output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "LLMSpell flow")]
pub(crate) struct FlowFile {
    /// The name of the flow. It is the first part of every path in errors, events and the report.
    pub(crate) flow: Located<String>,
    /// The version of this file format.
    #[serde(default)]
    #[schemars(extend("const" = 1))]
    pub(crate) version: Option<Located<u32>>,
    /// A description of the flow, in a sentence or two.
    pub(crate) description: Option<String>,
    /// The fields of a record. By default, any record is accepted.
    pub(crate) inputs: Option<Mapping<InputDef>>,
    /// The field that identifies a record; by default, the whole record does. A resumed run finds the finished records
    /// by it.
    pub(crate) key: Option<Located<String>>,
    /// The permissions that the flow requests from its user.
    pub(crate) allow: Option<Located<AllowDef>>,
    /// Environment variables whose values templates can use as `secrets.<name>`, only in the arguments of tools. They
    /// are redacted everywhere else.
    #[serde(default)]
    pub(crate) secrets: Vec<Located<String>>,
    /// Models that agents can name.
    #[serde(default)]
    pub(crate) models: Mapping<Short<ModelDef>>,
    /// Tools that the flow declares: programs and MCP servers.
    #[serde(default)]
    pub(crate) tools: Mapping<ToolDef>,
    /// Modifiers of all steps that do not set their own.
    #[serde(default)]
    pub(crate) defaults: DefaultsDef,
    /// Defaults for the options of `llmspell run`, such as `limit: 64`.
    #[serde(default)]
    pub(crate) run: RunDef,
    /// The steps, in the order in which a record passes through them.
    pub(crate) steps: Located<Vec<Located<StepDef>>>,
    /// The output, with templates. By default, it is the output of the last step.
    pub(crate) output: Option<Located<Node>>,
    /// The fields that the output must have.
    pub(crate) returns: Option<Mapping<InputDef>>,
}

/// Returns all steps at every depth, in the order of the file.
pub(crate) fn every_step(steps: &[Located<StepDef>]) -> Vec<&StepDef> {
    let mut found = Vec::new();
    for step in steps {
        found.push(&step.value);
        found.extend(step.value.inner().into_iter().flat_map(every_step));
    }
    found
}

/// A field of the record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Field")]
pub(crate) struct InputDef {
    /// The type of the field. By default, any type is accepted.
    #[serde(rename = "type")]
    pub(crate) kind: Option<InputType>,
    /// Whether a record without the field is an error. True by default, unless the field has a `default`.
    pub(crate) required: Option<bool>,
    /// The value of the field in records that lack it.
    pub(crate) default: Option<Located<Node>>,
    /// A description of the field.
    pub(crate) description: Option<String>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InputType {
    String,
    Number,
    Integer,
    Boolean,
    Array,
    Object,
}
