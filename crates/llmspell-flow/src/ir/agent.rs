//! An agent of a flow, as known before the first record.

use std::ops::Range;
use std::sync::Arc;

use llmspell::model::{Effort, Model, Options, Reply, Request};
use llmspell::tool::DynTool;
use llmspell::{Agent, Result, Step};
use serde_json::Value;

use crate::ir::fields::Inputs;
use crate::syntax::file::ModelDef;
use crate::template::Prompt;

/// An agent whose model, prompts, tools and bounds have been checked.
pub(crate) struct CheckedAgent {
    /// The position in the file.
    pub(crate) at: Range<usize>,
    /// The flow's name for the model. Agents that use the same name share the model's limits.
    pub(crate) model: Arc<str>,
    pub(crate) opened: Arc<dyn Model>,
    /// The entry under `models`, if there is one.
    pub(crate) settings: Option<ModelDef>,
    pub(crate) system: Option<Prompt>,
    pub(crate) prompt: Prompt,
    pub(crate) tools: Vec<DynTool>,
    /// The first tool that is not known to be safe to call twice for one record.
    pub(crate) unrepeatable_tool: Option<String>,
    /// The first tool known to repeat its effect when it is called twice.
    pub(crate) unsafe_tool: Option<String>,
    /// The fields of the answer; `None` for a plain text.
    pub(crate) answer: Option<Inputs>,
    pub(crate) bounds: Bounds,
    /// Everything that decides the answer, apart from the values that the prompts name.
    pub(crate) definition: Value,
}

/// The bounds on one run of an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_turns: u32,
    pub(crate) tool_limit: usize,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_cost: Option<f64>,
    pub(crate) partial: bool,
}

/// The default of `max_turns`.
pub(crate) const DEFAULT_MAX_TURNS: u32 = 16;

/// The default of `tool_limit`.
pub(crate) const DEFAULT_TOOL_LIMIT: u32 = 8;

impl CheckedAgent {
    /// Returns the maximum number of model calls for one answer.
    pub(crate) fn max_turns(&self) -> u64 {
        let max = u64::from(self.bounds.max_turns);
        match (self.tools.is_empty(), &self.answer) {
            (false, _) => max,
            // One answer, and one turn to correct it.
            (true, Some(_)) => max.min(2),
            // Without tools to call or a schema to satisfy, the first reply is final.
            (true, None) => 1,
        }
    }

    /// Returns the JSON Schema of the answer; `None` for a plain text.
    pub(crate) fn answer_schema(&self) -> Option<Value> {
        self.answer.as_ref().map(answer_schema)
    }

    /// Builds the agent on top of a model.
    ///
    /// # Errors
    /// Every invalid setting, as the causes of one error.
    pub(crate) fn assemble(&self, model: impl Step<In = Request, Out = Reply>) -> Result<Agent> {
        let Bounds { max_turns, tool_limit, max_tokens, max_cost, partial } = self.bounds;
        let mut agent = Agent::of(model).tools(self.tools.iter().cloned()).max_turns(max_turns).tool_limit(tool_limit);
        if let Some(settings) = &self.settings {
            agent = agent.options(options(settings));
        }
        if let Some(tokens) = max_tokens {
            agent = agent.max_tokens(tokens);
        }
        if let Some(cost) = max_cost {
            agent = agent.max_cost(cost);
        }
        if partial {
            agent = agent.partial();
        }
        agent.build()
    }
}

/// Returns the JSON Schema of an answer with exactly these fields.
pub(crate) fn answer_schema(fields: &Inputs) -> Value {
    let mut schema = fields.schema();
    schema["additionalProperties"] = false.into();
    schema
}

/// Returns the model options. Options that all providers support are translated for each of them; all others are passed
/// through unchanged.
fn options(settings: &ModelDef) -> Options {
    let mut options = Options::new();
    options.temperature = settings.temperature;
    options.max_tokens = settings.max_output_tokens;
    for (name, value) in &settings.options.0 {
        let value = value.value.to_json();
        let effort = || serde_json::from_value::<Effort>(value.clone()).ok();
        options = match name.value.as_str() {
            "top_p" if value.is_number() => options.top_p(value.as_f64().unwrap_or(1.0)),
            "seed" if value.is_u64() => options.seed(value.as_u64().unwrap_or(0)),
            "stop" if value.is_string() => options.stop(value.as_str().unwrap_or_default()),
            "effort" => match effort() {
                Some(effort) => options.effort(effort),
                None => options.extra("effort", value),
            },
            name => options.extra(name, value),
        };
    }
    options
}
