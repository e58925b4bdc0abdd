//! Checks of agents: their models, prompts, tools and answers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use llmspell::Error;
use llmspell::internal::suggest;
use llmspell::model::Model;
use serde_json::{Value, json};

use super::Checker;
use super::flow_tools::ResolvedTool;
use super::scope::{Dependencies, NameScope};
use crate::ir::agent::{Bounds, CheckedAgent, DEFAULT_MAX_TURNS, DEFAULT_TOOL_LIMIT};
use crate::ir::fields::Inputs;
use crate::ir::repeatability::Repeatability;
use crate::ir::step::StepKind;
use crate::lint::{self, AgentSubject};
use crate::syntax::file::{AgentDef, ModelDef, StepDef};
use crate::syntax::located::Located;

/// The model of an agent.
struct ResolvedModel {
    name: Arc<str>,
    opened: Arc<dyn Model>,
    settings: Option<ModelDef>,
}

impl Checker<'_> {
    pub(super) fn agent(&mut self, def: &StepDef, scope: &NameScope, dependencies: &Dependencies) -> Option<StepKind> {
        let Located { value: agent, at } = def.agent.as_ref()?;
        let model = self.model(agent, at);
        let system = agent.system.as_ref().map(|system| self.prompt(system, scope, dependencies));
        let prompt = self.prompt(&agent.prompt, scope, dependencies);
        let tools = self.agent_tools(agent);
        let answer = self.answer(agent, at);
        let bounds = self.bounds(agent);
        let (model, (prompt, prompt_definition), tools, bounds) = (model?, prompt?, tools?, bounds?);
        let (system, system_definition) = match system {
            Some(found) => found.map(|(system, definition)| (Some(system), definition))?,
            None => (None, Value::Null),
        };
        self.lint_agent(def, agent, &model);
        let definition = json!({
            "model": model.settings.as_ref().map_or(json!(&*model.name), definition_of),
            "system": system_definition,
            "prompt": prompt_definition,
            "tools": tools.iter().map(|tool| json!([tool.tool.spec(), tool.definition])).collect::<Vec<_>>(),
            "answer": answer.as_ref().map(Inputs::schema),
            "bounds": format!("{bounds:?}"),
        });
        let repeatability = self.repeatability_of_tools(agent, &tools);
        let first = |matches: fn(Repeatability) -> bool| {
            repeatability.iter().find(|(_, one)| matches(*one)).map(|(name, _)| (*name).to_owned())
        };
        let checked = CheckedAgent {
            at: at.start..at.start + 1,
            model: model.name,
            opened: model.opened,
            settings: model.settings,
            system,
            prompt,
            unrepeatable_tool: first(|one| one != Repeatability::Safe),
            unsafe_tool: first(|one| one == Repeatability::Unsafe),
            tools: tools.into_iter().map(|tool| tool.tool).collect(),
            answer,
            bounds,
            definition,
        };
        self.assembles(&checked).then(|| StepKind::Agent(Box::new(checked)))
    }

    /// Reports everything that the agent's builder rejects, and returns whether it accepts the agent.
    fn assembles(&mut self, agent: &CheckedAgent) -> bool {
        let Err(error) = agent.assemble(agent.opened.clone().step()) else { return true };
        let problems = if error.causes().is_empty() { std::slice::from_ref(&error) } else { error.causes() };
        problems.iter().for_each(|error| self.error(agent.at.clone(), error));
        false
    }

    fn answer(&mut self, agent: &AgentDef, at: &Range<usize>) -> Option<Inputs> {
        let answer = agent.answer.as_ref()?;
        if answer.0.is_empty() {
            let hint = "declare its fields, or leave `answer` out for a text".to_owned();
            self.problem(at.clone(), "an answer without fields".to_owned(), hint);
        }
        Some(Inputs::declared(Some(answer), self.compiler.source, &mut self.compiler.problems))
    }

    fn lint_agent(&mut self, def: &StepDef, agent: &AgentDef, model: &ResolvedModel) {
        let subject = AgentSubject {
            agent,
            settings: model.settings.as_ref(),
            model: model.opened.name(),
            at: agent.model.as_ref().or(self.file.defaults.model.as_ref()).map(|model| &model.at),
            has_fallback: def.modifiers().fallback.is_some(),
            source: self.compiler.source,
        };
        lint::check_agent(&subject, &mut self.warnings);
    }

    /// Returns the tools by the names in the file, with the effect of calling each twice.
    fn repeatability_of_tools<'a>(&self, agent: &'a AgentDef, tools: &[ResolvedTool]) -> Vec<(&'a str, Repeatability)> {
        let named = agent.tools.iter().map(|name| name.value.as_str()).zip(tools);
        named.map(|(name, tool)| (name, self.repeatability(name, tool, &[]))).collect()
    }

    fn model(&mut self, agent: &AgentDef, at: &Range<usize>) -> Option<ResolvedModel> {
        let file = self.file;
        let Some(Located { value: name, at }) = agent.model.as_ref().or(file.defaults.model.as_ref()) else {
            let hint = "name one: `model: openai/gpt-5-mini`, or one for all agents under `defaults`".to_owned();
            self.problem(at.start..at.start + 1, "an agent without a model".to_owned(), hint);
            return None;
        };
        let settings = file.models.0.iter().find(|(known, _)| known.value == *name).map(|(_, def)| &def.value.0);
        let toolbox = self.toolbox;
        let full = settings.filter(|def| def.endpoint.is_none()).map(|def| &def.model.value);
        if let Some(opened) = toolbox.model(name).or_else(|| toolbox.model(full?)) {
            return Some(ResolvedModel { name: Arc::from(name.as_str()), opened, settings: settings.cloned() });
        }
        if settings.is_some() || name.contains('/') {
            let hint = "open it in the program that loads the flow: `Toolbox::with_model`".to_owned();
            self.problem(at.clone(), format!("the model `{name}` has not been opened"), hint);
            return None;
        }
        let known: BTreeSet<&str> =
            file.models.0.iter().map(|(known, _)| known.value.as_str()).chain(toolbox.models()).collect();
        let hint = match known.is_empty() {
            true => "name it in full, such as openai/gpt-5-mini, or declare it under `models`".to_owned(),
            false => suggest::hint(name, known, "use a full name, such as openai/gpt-5-mini, or one of"),
        };
        self.problem(at.clone(), format!("unknown model `{name}`"), hint);
        None
    }

    /// Resolves the tools of an agent, and renames them to names that models can call.
    fn agent_tools(&mut self, agent: &AgentDef) -> Option<Vec<ResolvedTool>> {
        let mut tools = Vec::new();
        let (mut named, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for Located { value: name, at } in &agent.tools {
            if !named.insert(name) {
                self.problem(at.clone(), format!("duplicate tool `{name}`"), "keep one of the two".into());
            }
            let Some(found) = self.named_tool(name, at, None) else { continue };
            let callable = callable(name, &mut taken);
            let tool = if callable == *name { found.tool.clone() } else { found.tool.clone().renamed(&callable) };
            tools.push(ResolvedTool { tool, ..found });
        }
        (tools.len() == agent.tools.len()).then_some(tools)
    }

    fn bounds(&mut self, agent: &AgentDef) -> Option<Bounds> {
        let mut within = |value: &Option<Located<u32>>, default: u32, max: u32| match value {
            Some(Located { value, at }) if !(1..=max).contains(value) => {
                self.problem(
                    at.clone(),
                    format!("{value} is not from 1 to {max}"),
                    format!("write a number in this range; the default is {default}"),
                );
                None
            }
            value => Some(value.as_ref().map_or(default, |value| value.value)),
        };
        let max_turns = within(&agent.max_turns, DEFAULT_MAX_TURNS, 1000);
        let tool_limit = within(&agent.tool_limit, DEFAULT_TOOL_LIMIT, 10_000);
        Some(Bounds {
            max_turns: max_turns?,
            tool_limit: tool_limit? as usize,
            max_tokens: agent.max_tokens.as_ref().map(|tokens| tokens.value),
            max_cost: agent.max_cost.as_ref().map(|cost| cost.value),
            partial: agent.partial,
        })
    }

    fn error(&mut self, at: Range<usize>, error: &Error) {
        let problem = self.compiler.source.diagnose(Some(at), error.message());
        self.compiler.problems.push(match error.hint() {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    }
}

/// Returns the settings of a model that decide its answers.
fn definition_of(def: &ModelDef) -> Value {
    let options: Vec<Value> =
        def.options.0.iter().map(|(name, value)| json!([name.value, value.value.to_json()])).collect();
    let endpoint = def.endpoint.as_ref().map(|endpoint| endpoint.value.as_str());
    json!([def.model.value, endpoint, def.temperature, def.max_output_tokens, options])
}

/// Returns a unique name that all providers accept: 1 to 64 letters, digits, `_` and `-`.
fn callable(name: &str, taken: &mut BTreeSet<String>) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(64).collect();
    let numbered = |number: u32| {
        let end = format!("_{number}");
        format!("{}{end}", &plain[..plain.len().min(64 - end.len())])
    };
    let names = std::iter::once(plain.clone()).chain((2..).map(numbered));
    let free = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_callable_and_stay_different() {
        let mut taken = BTreeSet::new();
        assert_eq!(callable("notes.search", &mut taken), "notes_search");
        assert_eq!(callable("notes search", &mut taken), "notes_search_2");
        let long = "ä".repeat(100);
        assert_eq!(callable(&long, &mut taken).len(), 64);
        assert_eq!(callable(&long, &mut taken), format!("{}_2", "_".repeat(62)));
    }
}
