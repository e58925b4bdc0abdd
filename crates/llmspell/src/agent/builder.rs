//! How an agent is put together, and what is wrong with one that cannot be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::tools::Tools;
use super::{Agent, Inner};
use crate::error::{Error, Result};
use crate::model::{Options, OutputFormat, Reply, Request, ToolChoice};
use crate::observe::cost::Cost;
use crate::step::{BoxStep, Step};
use crate::suggest;
use crate::tool::{Arguments, CallConcurrency, DynTool, Tool};

/// What becomes of the other calls of a turn when a tool fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolFailure {
    /// They go on, and the model is told of the failure: it can try otherwise.
    #[default]
    Tell,
    /// They are cancelled, and the model is told so.
    CancelSiblings,
    /// They are cancelled, and the agent fails with the tool's error.
    Fail,
}

/// Puts an [`Agent`] together; made by [`Agent::builder`] and [`Agent::of`].
///
/// ```
/// use std::time::Duration;
/// use llmspell::agent::{Agent, ToolFailure};
/// use llmspell::model::{Options, SimulatedModel};
///
/// let agent = Agent::builder(SimulatedModel::new("simulated/small"))
///     .system("Answer in one line.")
///     .options(Options::new().temperature(0.0))
///     .max_turns(4)
///     .deadline(Duration::from_secs(30))
///     .partial() // what there is by then is better than nothing
///     .build()?;
///
/// let error = Agent::builder(SimulatedModel::new("simulated/small")).max_turns(0).tool_limit(0).build();
/// assert_eq!(error.err().unwrap().causes().len(), 2); // everything that is wrong, at once
/// # Ok::<(), llmspell::Error>(())
/// ```
#[must_use = "an agent is made by `build`"]
pub struct AgentBuilder {
    model: BoxStep<Request, Reply>,
    system: Option<String>,
    options: Options,
    tools: Vec<DynTool>,
    tool_limit: usize,
    on_tool_failure: ToolFailure,
    max_turns: u32,
    max_tokens: Option<u64>,
    max_cost: Option<Cost>,
    deadline: Option<Duration>,
    partial: bool,
}

impl AgentBuilder {
    pub(super) fn new(model: BoxStep<Request, Reply>) -> Self {
        AgentBuilder {
            model,
            system: None,
            options: Options::new(),
            tools: Vec::new(),
            tool_limit: 8,
            on_tool_failure: ToolFailure::Tell,
            max_turns: 20,
            max_tokens: None,
            max_cost: None,
            deadline: None,
            partial: false,
        }
    }

    /// What the model is to be, and to heed: goes before every conversation, and is not part of it.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = Some(text.into());
        self
    }

    /// How the model is to answer. [`Options::max_tokens`] is for one turn, [`AgentBuilder::max_tokens`] for all.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Changes the options that are set so far, where [`AgentBuilder::options`] would replace all of them.
    pub fn edit_options(mut self, edit: impl FnOnce(Options) -> Options) -> Self {
        self.options = edit(self.options);
        self
    }

    /// Applies settings that have a name: a function that goes on building. What is set after it counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use llmspell::agent::{Agent, AgentBuilder};
    /// use llmspell::model::SimulatedModel;
    ///
    /// fn brief(agent: AgentBuilder) -> AgentBuilder {
    ///     agent.max_turns(3).deadline(Duration::from_secs(5)).edit_options(|options| options.max_tokens(200))
    /// }
    ///
    /// let agent = Agent::builder(SimulatedModel::new("simulated/small")).apply(brief).max_turns(6).build()?;
    /// # let _ = agent;
    /// # Ok::<(), llmspell::Error>(())
    /// ```
    pub fn apply(self, settings: impl FnOnce(Self) -> Self) -> Self {
        settings(self)
    }

    /// Adds a tool that the model may call.
    pub fn tool<S: Step<In: Arguments, Out: Serialize>>(self, tool: Tool<S>) -> Self {
        self.tools([tool.erase()])
    }

    /// Adds tools from JSON to JSON, such as those of a server, or other agents.
    pub fn tools(mut self, tools: impl IntoIterator<Item = DynTool>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// How many calls of one turn run at once at most; 8 unless set. To bound a tool over all turns and agents, make
    /// it of a step with a [`limit`](Step::limit).
    pub fn tool_limit(mut self, limit: usize) -> Self {
        self.tool_limit = limit;
        self
    }

    /// What becomes of the other calls of a turn when a tool fails; unless set, [they go on](ToolFailure::Tell).
    pub fn on_tool_failure(mut self, policy: ToolFailure) -> Self {
        self.on_tool_failure = policy;
        self
    }

    /// How often the model is asked at most; 20 unless set.
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.max_turns = turns;
        self
    }

    /// The number of tokens from which there is no further turn: of all turns, failed attempts and tools of a run. A
    /// turn that has begun ends, so it can be more by one turn; a [`Budget`](crate::Budget) around the model
    /// reserves before it spends.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// The cost from which there is no further turn, in the unit of the model's
    /// [prices](crate::model::ModelStep::prices); as [`AgentBuilder::max_tokens`].
    pub fn max_cost(mut self, cost: impl TryInto<Cost>) -> Self {
        // Zero stands for an invalid amount; the builder refuses both.
        self.max_cost = Some(cost.try_into().unwrap_or(Cost::ZERO));
        self
    }

    /// The time that a run has, with all its turns. What runs then is dropped; what is done by then is kept, in the
    /// error's [`Unfinished`](super::Unfinished) or in the [partial](AgentBuilder::partial) reply.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Answers with what there is when a limit is met, instead of failing: with what the model has said of its
    /// unfinished turn, or else with the last it said in this run. The result is marked as
    /// [partial](crate::Quality::Partial), with the limit as the cause.
    ///
    /// The limits are those above, deadlines of steps around the agent, timeouts of the model, and refusals of
    /// budgets. If the model has not said anything yet, the agent fails all the same.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with everything that is wrong as its [causes](Error::causes): a
    /// limit of 0, a name that two tools have or that providers do not take, arguments that are no object, a key that
    /// is no argument of its tool, options that no model knows, a choice of a tool that is not there.
    pub fn build(self) -> Result<Agent> {
        let mut wrong = self.complaints();
        if wrong.len() == 1 {
            return Err(wrong.remove(0));
        }
        if !wrong.is_empty() {
            let message = format!("{} things are wrong with the agent", wrong.len());
            return Err(Error::invalid(message).with_causes(wrong));
        }
        Ok(Agent(Arc::new(Inner {
            model: self.model,
            system: self.system,
            options: Arc::new(self.options),
            tools: Arc::new(Tools::new(self.tools, self.tool_limit, self.on_tool_failure)),
            max_turns: self.max_turns,
            max_tokens: self.max_tokens,
            max_cost: self.max_cost,
            deadline: self.deadline,
            partial: self.partial,
        })))
    }

    fn complaints(&self) -> Vec<Error> {
        let mut wrong = Vec::new();
        let mut complain = |message: String, hint: &str| {
            let error = Error::invalid(message);
            wrong.push(if hint.is_empty() { error } else { error.with_hint(hint.to_owned()) });
        };
        if self.max_turns == 0 {
            complain(
                "`max_turns` is 0: the model is never asked".into(),
                "one turn answers, two can call tools before",
            );
        }
        if self.tool_limit == 0 {
            complain("`tool_limit` is 0: no tool can ever run".into(), "1 runs one call after another");
        }
        if self.max_tokens == Some(0) {
            complain("`max_tokens` is 0: there is nothing to begin with".into(), "");
        }
        if self.max_cost.is_some_and(Cost::is_zero) {
            complain("`max_cost` is not a number above 0".into(), "");
        }
        if self.deadline.is_some_and(|time| time.is_zero()) {
            complain("the deadline is 0: the time is up before the first turn".into(), "");
        }
        if let Some((complaint, hint)) = self.options.complaint() {
            complain(complaint, hint);
        }
        for spec in self.tools.iter().map(|tool| tool.spec()) {
            let kind = &spec.parameters["type"];
            let has_object = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind == "object");
            if !kind.is_null() && kind != "object" && !kind.as_array().is_some_and(has_object) {
                let hint = "models send an object: make it a struct with a field for each argument, or `()` for none";
                complain(format!("the arguments of the tool `{}` are of the type {kind}", spec.name), hint);
            }
            // A schema that lists no properties says nothing about them.
            let Some(properties) = spec.parameters["properties"].as_object() else { continue };
            if let CallConcurrency::Keyed(argument) = &spec.concurrency
                && !properties.contains_key(argument)
            {
                let hint = suggest::hint(argument, properties.keys().map(String::as_str), "its arguments are");
                complain(
                    format!("the tool `{}` is keyed by `{argument}`, which is no argument of it", spec.name),
                    &hint,
                );
            }
        }
        let mut names = BTreeSet::new();
        for name in self.tools.iter().map(|tool| tool.spec().name.as_str()) {
            if !names.insert(name) {
                complain(format!("two tools are called `{name}`"), "give one of them another name: `Tool::renamed`");
            }
            if !is_callable(name) {
                let hint = "use 1 to 64 letters, digits, `_` and `-`, the names that all providers take: \
                            `Tool::renamed` gives it one";
                complain(format!("models cannot call a tool `{name}`"), hint);
            }
        }
        match &self.options.tool_choice {
            ToolChoice::Tool(name) if !names.contains(name.as_str()) => {
                let hint = match names.len() {
                    0 => "it has no tools".to_owned(),
                    _ => suggest::hint(name, names.iter().copied(), "its tools are"),
                };
                complain(format!("`tool_choice` asks for the tool `{name}`, which the agent does not have"), &hint);
            }
            ToolChoice::Required if names.is_empty() => {
                complain("`tool_choice` requires a tool, and the agent has none".into(), "");
            }
            ToolChoice::Required | ToolChoice::Tool(_) => {
                let hint = "leave it at `Auto`, or ask the model itself with `Model::step`";
                complain("with a `tool_choice` that calls a tool in every turn, there is no answer".into(), hint);
            }
            _ => {}
        }
        if matches!(&self.options.output, OutputFormat::Schema { schema, .. } if !schema.is_object()) {
            complain("the schema of the output is not a JSON object".into(), "");
        }
        wrong
    }
}

/// Whether all providers take it as the name of a tool.
fn is_callable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ScriptedModel;
    use crate::step::step;

    fn edit() -> DynTool {
        let parameters = json!({ "type": "object", "properties": { "path": {}, "text": {} } });
        DynTool::from_schema("edit", "Edits.", parameters, step(|value: Value, _| async move { Ok(value) }))
    }

    fn hint_of(builder: AgentBuilder) -> Option<String> {
        builder.build().err().and_then(|error| error.hint().map(str::to_owned))
    }

    #[test]
    fn a_key_is_an_argument_of_its_tool() {
        let agent = |key: &str| Agent::builder(ScriptedModel::new("test")).tools([edit().keyed(key)]);
        assert!(agent("path").build().is_ok());
        assert_eq!(hint_of(agent("pth")).as_deref(), Some("did you mean `path`?"));
    }

    #[test]
    fn settings_change_what_is_set_and_are_changed_by_what_follows() {
        let brief = |agent: AgentBuilder| agent.max_turns(3).edit_options(|options| options.max_tokens(200));
        let model = ScriptedModel::new("test");
        let agent = Agent::builder(model).options(Options::new().temperature(0.5)).apply(brief).max_turns(6);
        assert_eq!((agent.max_turns, agent.options.temperature, agent.options.max_tokens), (6, Some(0.5), Some(200)));
    }
}
