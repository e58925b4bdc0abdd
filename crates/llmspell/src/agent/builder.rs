//! The builder of an agent: its settings and their defaults.
//!
//! Validation of the settings is in [`validate`](super::validate).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tools::Tools;
use super::validate::problems;
use super::{Agent, AgentConfig};
use crate::error::{Error, Result};
use crate::model::{Options, Reply, Request};
use crate::observe::cost::Cost;
use crate::step::{BoxStep, Step};
use crate::tool::{DynTool, Tool};

/// The effect of a tool's failure on the other calls of its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolFailure {
    /// The other calls continue. The model receives the failure as a result, and can try again.
    #[default]
    Tell,
    /// The other calls are cancelled. The model receives the failure and the cancellations as results.
    CancelSiblings,
    /// The other calls are cancelled, and the agent fails with the tool's error.
    Fail,
}

/// A builder for an [`Agent`]; made by [`Agent::builder`] and [`Agent::of`].
///
/// ```
/// use std::time::Duration;
/// use llmspell::agent::{Agent, ToolFailure};
/// use llmspell::model::Options;
/// use llmspell_test::SimulatedModel;
///
/// let agent = Agent::builder(SimulatedModel::new("simulated/small"))
///     .system("Answer in one line.")
///     .options(Options::new().temperature(0.0))
///     .max_turns(4)
///     .deadline(Duration::from_secs(30))
///     .partial() // at the deadline, a partial answer is better than none
///     .build()?;
///
/// let error = Agent::builder(SimulatedModel::new("simulated/small")).max_turns(0).tool_limit(0).build();
/// assert_eq!(error.err().unwrap().causes().len(), 2); // all problems at once
/// # Ok::<(), llmspell::Error>(())
/// ```
#[must_use = "an agent is made by `build`"]
pub struct AgentBuilder {
    model: BoxStep<Request, Reply>,
    system: Option<String>,
    pub(super) options: Options,
    pub(super) tools: Vec<DynTool>,
    pub(super) tool_limit: usize,
    on_tool_failure: ToolFailure,
    pub(super) max_turns: u32,
    pub(super) max_tokens: Option<u64>,
    pub(super) max_cost: Option<Cost>,
    pub(super) deadline: Option<Duration>,
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

    /// Sets the system prompt. It is sent before every conversation, and is not part of it.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = Some(text.into());
        self
    }

    /// Sets the options of the model. [`Options::max_tokens`] limits one turn, [`AgentBuilder::max_tokens`] the run.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Changes the current options; [`AgentBuilder::options`] replaces all of them.
    pub fn edit_options(mut self, edit: impl FnOnce(Options) -> Options) -> Self {
        self.options = edit(self.options);
        self
    }

    /// Applies named settings: a function from builder to builder. Later settings override them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use llmspell::agent::{Agent, AgentBuilder};
    /// use llmspell_test::SimulatedModel;
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
    pub fn tool<S: Step<In: DeserializeOwned, Out: Serialize>>(self, tool: Tool<S>) -> Self {
        self.tools([tool.erase()])
    }

    /// Adds tools from JSON to JSON, such as those of an MCP server, or other agents.
    pub fn tools(mut self, tools: impl IntoIterator<Item = DynTool>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Sets the maximum number of concurrent calls in one turn. The default is 8. To limit a tool across turns and
    /// agents, make it of a step with a [`limit`](Step::limit).
    pub fn tool_limit(mut self, limit: usize) -> Self {
        self.tool_limit = limit;
        self
    }

    /// Sets the effect of a tool's failure on the other calls of its turn. By default [they
    /// continue](ToolFailure::Tell).
    pub fn on_tool_failure(mut self, policy: ToolFailure) -> Self {
        self.on_tool_failure = policy;
        self
    }

    /// Sets the maximum number of requests to the model, not counting retries. The default is 20.
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.max_turns = turns;
        self
    }

    /// Sets the number of tokens from which no further turn starts. All turns, failed attempts and tools of a run count.
    ///
    /// A started turn finishes, so a run can exceed the limit by one turn. A [`Budget`](crate::Budget) around the model
    /// reserves tokens before it spends them.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets the cost from which no further turn starts, in the unit of the model's
    /// [prices](crate::model::ModelStep::prices); like [`AgentBuilder::max_tokens`].
    pub fn max_cost(mut self, cost: impl TryInto<Cost>) -> Self {
        // Zero stands for an invalid amount; the builder refuses both.
        self.max_cost = Some(cost.try_into().unwrap_or(Cost::ZERO));
        self
    }

    /// Sets the time limit of a run with all its turns.
    ///
    /// Work that is still running then is dropped. Finished work is kept, in the error's
    /// [`Unfinished`](super::Unfinished) or in the [partial](AgentBuilder::partial) reply.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Returns a partial answer when a limit is reached, instead of an error.
    ///
    /// The answer is the text of the unfinished turn, or else the last text of this run. The result is marked as
    /// [partial](crate::observe::Quality::Partial), with the limit as the cause. Without any text the agent still fails.
    ///
    /// The limits are those above, deadlines of steps around the agent, timeouts of the model, and rejections by
    /// budgets.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Builds the agent.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with all problems as its [causes](Error::causes): a limit of
    /// 0, a duplicate or unsupported tool name, arguments that are not an object, an unknown key of a tool, invalid
    /// options, or a choice of an unknown tool.
    pub fn build(self) -> Result<Agent> {
        let mut problems = problems(&self);
        if problems.len() == 1 {
            return Err(problems.remove(0));
        }
        if !problems.is_empty() {
            let message = format!("the agent has {} problems", problems.len());
            return Err(Error::invalid(message).with_causes(problems));
        }
        Ok(Agent(Arc::new(AgentConfig {
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
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(|tool| &tool.spec().name).collect();
        f.debug_struct("AgentBuilder")
            .field("tools", &tools)
            .field("max_turns", &self.max_turns)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::step::step;

    /// `llmspell-test` cannot be used here: it is built on the library without its unit tests, whose types differ.
    fn builder() -> AgentBuilder {
        Agent::of(step(|_: Request, _| async { Ok(Reply::new("")) }))
    }

    fn edit() -> DynTool {
        let parameters = json!({ "type": "object", "properties": { "path": {}, "text": {} } });
        DynTool::from_schema("edit", "Edits.", parameters, step(|value: Value, _| async move { Ok(value) }))
    }

    fn hint_of(builder: AgentBuilder) -> Option<String> {
        builder.build().err().and_then(|error| error.hint().map(str::to_owned))
    }

    #[test]
    fn key_must_be_an_argument_of_its_tool() {
        let agent = |key: &str| builder().tools([edit().keyed(key)]);
        assert!(agent("path").build().is_ok());
        assert_eq!(hint_of(agent("pth")).as_deref(), Some("did you mean `path`?"));
    }

    #[test]
    fn applied_settings_override_earlier_and_yield_to_later_ones() {
        let brief = |agent: AgentBuilder| agent.max_turns(3).edit_options(|options| options.max_tokens(200));
        let agent = builder().options(Options::new().temperature(0.5)).apply(brief).max_turns(6);
        assert_eq!((agent.max_turns, agent.options.temperature, agent.options.max_tokens), (6, Some(0.5), Some(200)));
    }
}
