//! Agents: their models, prompts, tools and answers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use llmspell::model::Model;
use llmspell::{Error, suggest};
use serde_json::{Value, json};

use super::Checker;
use super::flow_tools::Named;
use super::references::{Sight, Uses};
use crate::ir::agent::{AgentPlan, Bounds, TOOLS_AT_ONCE, TURNS};
use crate::ir::fields::Inputs;
use crate::ir::repeatability::Repeatability;
use crate::ir::step::StepKind;
use crate::lint::{self, Warnings};
use crate::syntax::file::{AgentDef, ModelDef, StepDef};
use crate::syntax::located::Located;

/// A model that an agent has found.
struct Found {
    name: Arc<str>,
    opened: Arc<dyn Model>,
    settings: Option<ModelDef>,
}

impl Checker<'_> {
    pub(super) fn agent(&mut self, def: &StepDef, sight: &Sight, uses: &Uses) -> Option<StepKind> {
        let Located { value: agent, at } = def.agent.as_ref()?;
        let model = self.model(agent, at);
        let system = agent.system.as_ref().map(|system| self.prompt(system, sight, uses));
        let prompt = self.prompt(&agent.prompt, sight, uses);
        let tools = self.agents_tools(agent);
        let answer = agent.answer.as_ref().map(|answer| {
            if answer.0.is_empty() {
                let hint = "name its fields, or leave `answer` out for a text".to_owned();
                self.problem(at.clone(), "an answer without fields".to_owned(), hint);
            }
            Inputs::declared(Some(answer), self.compiler.source, &mut self.compiler.problems)
        });
        let bounds = self.bounds(agent);
        let (Found { name, opened, settings }, (prompt, asks), tools) = (model?, prompt?, tools?);
        let (system, told) = match system {
            Some(found) => found.map(|(system, told)| (Some(system), told))?,
            None => (None, Value::Null),
        };
        let mut warnings = Warnings::new(self.compiler.source, &mut self.warnings);
        lint::unpriced(agent, settings.as_ref(), &mut warnings);
        let named = agent.model.as_ref().or(self.file.defaults.model.as_ref()).map(|model| &model.at);
        lint::simulated(agent, named, opened.name(), def.modifiers().fallback.is_some(), &mut warnings);
        let essence = json!({
            "model": settings.as_ref().map_or(json!(&*name), essence_of),
            "system": told,
            "prompt": asks,
            "tools": tools.iter().map(|tool| json!([tool.tool.spec(), tool.essence])).collect::<Vec<_>>(),
            "answer": answer.as_ref().map(Inputs::schema),
            "bounds": format!("{:?}", bounds?),
        });
        let calls: Vec<(&str, Repeatability)> = agent
            .tools
            .iter()
            .zip(&tools)
            .map(|(name, tool)| (name.value.as_str(), self.repeatability(&name.value, tool, &[])))
            .collect();
        let first = |will_do: fn(Repeatability) -> bool| {
            calls.iter().find(|(_, repeatability)| will_do(*repeatability)).map(|(name, _)| (*name).to_owned())
        };
        let unrepeatable = first(|repeatability| repeatability != Repeatability::Safe);
        let harmful = first(|repeatability| repeatability == Repeatability::Unsafe);
        let tools = tools.into_iter().map(|tool| tool.tool).collect();
        let at = at.start..at.start + 1;
        let plan = AgentPlan {
            at,
            model: name,
            opened,
            settings,
            system,
            prompt,
            tools,
            unrepeatable,
            harmful,
            answer,
            bounds: bounds?,
            essence,
        };
        match plan.assembled(plan.opened.clone().step()) {
            Ok(_) => Some(StepKind::Agent(Box::new(plan))),
            Err(error) => {
                let wrong = if error.causes().is_empty() { std::slice::from_ref(&error) } else { error.causes() };
                wrong.iter().for_each(|error| self.error(plan.at.clone(), error));
                None
            }
        }
    }

    fn model(&mut self, agent: &AgentDef, at: &Range<usize>) -> Option<Found> {
        let file = self.file;
        let Some(Located { value: name, at }) = agent.model.as_ref().or(file.defaults.model.as_ref()) else {
            let hint = "name one: `model: openai/gpt-5-mini`, or one for all agents under `defaults`".to_owned();
            self.problem(at.start..at.start + 1, "this agent has no model".to_owned(), hint);
            return None;
        };
        let settings = file.models.0.iter().find(|(known, _)| known.value == *name).map(|(_, def)| &def.value.0);
        let toolbox = self.toolbox;
        let full = settings.filter(|def| def.endpoint.is_none()).map(|def| &def.model.value);
        if let Some(opened) = toolbox.model(name).or_else(|| toolbox.model(full?)) {
            return Some(Found { name: Arc::from(name.as_str()), opened, settings: settings.cloned() });
        }
        if settings.is_some() || name.contains('/') {
            let hint = "models are opened by the program that loads the flow: `Toolbox::with_model`".to_owned();
            self.problem(at.clone(), format!("the model `{name}` has not been opened"), hint);
            return None;
        }
        let known: BTreeSet<&str> =
            file.models.0.iter().map(|(known, _)| known.value.as_str()).chain(toolbox.models()).collect();
        let hint = match known.is_empty() {
            true => "name it in full, such as openai/gpt-5-mini, or declare it under `models`".to_owned(),
            false => suggest::hint(name, known, "besides models in full, such as openai/gpt-5-mini, there are"),
        };
        self.problem(at.clone(), format!("unknown model `{name}`"), hint);
        None
    }

    /// Its tools under names that models can call, each with what else it consists of.
    fn agents_tools(&mut self, agent: &AgentDef) -> Option<Vec<Named>> {
        let mut tools = Vec::new();
        let (mut named, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for Located { value: name, at } in &agent.tools {
            if !named.insert(name) {
                self.problem(at.clone(), format!("the tool `{name}` stands here twice"), "keep one of the two".into());
            }
            let Some(found) = self.named_tool(name, at, None) else { continue };
            let callable = callable(name, &mut taken);
            let tool = if callable == *name { found.tool.clone() } else { found.tool.clone().renamed(&callable) };
            tools.push(Named { tool, ..found });
        }
        (tools.len() == agent.tools.len()).then_some(tools)
    }

    fn bounds(&mut self, agent: &AgentDef) -> Option<Bounds> {
        let mut within = |value: &Option<Located<u32>>, default: u32, most: u32| match value {
            Some(Located { value, at }) if !(1..=most).contains(value) => {
                self.problem(
                    at.clone(),
                    format!("{value} is not from 1 to {most}"),
                    format!("the default is {default}"),
                );
                None
            }
            value => Some(value.as_ref().map_or(default, |value| value.value)),
        };
        let max_turns = within(&agent.max_turns, TURNS, 1000);
        let tool_limit = within(&agent.tool_limit, TOOLS_AT_ONCE, 10_000);
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

/// What of a model decides its answers.
fn essence_of(def: &ModelDef) -> Value {
    let options: Vec<Value> =
        def.options.0.iter().map(|(name, value)| json!([name.value, value.value.to_json()])).collect();
    let endpoint = def.endpoint.as_ref().map(|endpoint| endpoint.value.as_str());
    json!([def.model.value, endpoint, def.temperature, def.max_output_tokens, options])
}

/// A name that all providers take: 1 to 64 letters, digits, `_` and `-`, and no other tool's.
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
