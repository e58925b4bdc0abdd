//! An agent of a flow: what is known of it before a record is there.

use std::ops::Range;
use std::sync::Arc;

use llmspell::model::{Effort, Model, Options, Reply, Request};
use llmspell::tool::DynTool;
use llmspell::{Agent, Result, Step};
use serde_json::Value;

use crate::ir::fields::Inputs;
use crate::syntax::file::ModelDef;
use crate::template::Prompt;

/// An agent that has been understood.
pub(crate) struct AgentPlan {
    /// Where it stands in the file.
    pub(crate) at: Range<usize>,
    /// What the flow calls the model; agents that call it the same share its limits.
    pub(crate) model: Arc<str>,
    pub(crate) opened: Arc<dyn Model>,
    /// What `models` says of it.
    pub(crate) settings: Option<ModelDef>,
    pub(crate) system: Option<Prompt>,
    pub(crate) prompt: Prompt,
    pub(crate) tools: Vec<DynTool>,
    /// One of them that must not be called twice for one record, if there is one.
    pub(crate) unrepeatable: Option<String>,
    /// One of them that is known to do its work twice if it is called twice, if there is one.
    pub(crate) harmful: Option<String>,
    /// The fields of its answer, if that is no text.
    pub(crate) answer: Option<Inputs>,
    pub(crate) bounds: Bounds,
    /// What its answer depends on, but for what its prompts name.
    pub(crate) essence: Value,
}

/// How much an agent may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_turns: u32,
    pub(crate) tool_limit: usize,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_cost: Option<f64>,
    pub(crate) partial: bool,
}

/// The most turns, if the file does not say.
pub(crate) const TURNS: u32 = 16;

/// The most tool calls at once, if the file does not say.
pub(crate) const TOOLS_AT_ONCE: u32 = 8;

impl AgentPlan {
    /// How often it asks its model for one answer, at most.
    pub(crate) fn most_turns(&self) -> u64 {
        let most = u64::from(self.bounds.max_turns);
        match (self.tools.is_empty(), &self.answer) {
            (false, _) => most,
            // One answer, and one turn to mend it.
            (true, Some(_)) => most.min(2),
            // Without tools to call and an answer to correct, the first word is the last.
            (true, None) => 1,
        }
    }

    /// The JSON Schema of its answer, if that is no text.
    pub(crate) fn answer_schema(&self) -> Option<Value> {
        self.answer.as_ref().map(answer_schema)
    }

    /// The agent over a model.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub(crate) fn assembled(&self, model: impl Step<In = Request, Out = Reply>) -> Result<Agent> {
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

/// The JSON Schema of an answer with these fields, and no others.
pub(crate) fn answer_schema(fields: &Inputs) -> Value {
    let mut schema = fields.schema();
    schema["additionalProperties"] = false.into();
    schema
}

/// How the model is to answer. What all providers know is said to each in its own words, anything else as it stands.
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
