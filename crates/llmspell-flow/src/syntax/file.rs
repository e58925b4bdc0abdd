//! What a flow file says, as types; the schema of the file is derived from them.

mod agent;
mod declared;
mod expression;
mod modifiers;
mod shorthand;
mod step;

pub(crate) use agent::{AgentDef, ModelDef, PromptDef};
pub(crate) use declared::{AllowDef, DefaultsDef, RunDef, ServerDef, ToolDef};
pub(crate) use expression::Expression;
pub(crate) use modifiers::{
    AdaptiveBy, AdaptiveDef, After, BreakerDef, HedgeDef, Modifiers, RateDef, RetryDef, RetryOn,
};
pub(crate) use shorthand::Short;
pub(crate) use step::{FirstDef, OnErrorDef, RungsDef, StepDef};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::syntax::entries::Entries;
use crate::syntax::located::Located;
use crate::syntax::node::Node;

/// A flow: steps that turn one record into one output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "LLMSpell flow")]
pub(crate) struct FlowFile {
    /// The name of the flow: it begins the path of every step in errors, events and the report.
    pub(crate) flow: Located<String>,
    /// The version of this file format.
    #[serde(default)]
    #[schemars(extend("const" = 1))]
    pub(crate) version: Option<Located<u32>>,
    /// What the flow does, in a sentence or two.
    pub(crate) description: Option<String>,
    /// The fields that a record must have. Left out, any record will do.
    pub(crate) inputs: Option<Entries<InputDef>>,
    /// The field that tells records apart; left out, all of a record does. By it, a run that goes on knows what it has
    /// done.
    pub(crate) key: Option<Located<String>>,
    /// What the flow asks of its user.
    pub(crate) allow: Option<Located<AllowDef>>,
    /// Environment variables whose values templates see as `secrets.<name>` in the arguments of tools. They appear
    /// nowhere else.
    #[serde(default)]
    pub(crate) secrets: Vec<Located<String>>,
    /// Models that agents can name.
    #[serde(default)]
    pub(crate) models: Entries<Short<ModelDef>>,
    /// Tools of the flow's own: programs, and MCP servers.
    #[serde(default)]
    pub(crate) tools: Entries<ToolDef>,
    /// What steps have that say nothing else.
    #[serde(default)]
    pub(crate) defaults: DefaultsDef,
    /// How a run goes, if its user says nothing else: options of `llmspell run`, such as `limit: 64`.
    #[serde(default)]
    pub(crate) run: RunDef,
    /// The steps, in the order in which a record passes them.
    pub(crate) steps: Located<Vec<Located<StepDef>>>,
    /// What comes out, with templates; by default the output of the last step.
    pub(crate) output: Option<Located<Node>>,
    /// The fields that the output must have.
    pub(crate) returns: Option<Entries<InputDef>>,
}

/// All steps, wherever they stand, in the order of the file.
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
    /// The type of the field; left out, any will do.
    #[serde(rename = "type")]
    pub(crate) kind: Option<InputType>,
    /// Whether a record without it is an error. The default is true, unless there is a default.
    pub(crate) required: Option<bool>,
    /// What stands in for the field if the record has none.
    pub(crate) default: Option<Located<Node>>,
    /// What the field holds.
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
