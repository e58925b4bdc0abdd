//! Agents: their models, prompts, tools and answers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use llmspell::model::Model;
use llmspell::{Error, suggest};
use serde_json::{Value, json};

use super::Checker;
use super::own::Named;
use super::repeats::Twice;
use crate::file::{AgentDef, ModelDef, StepDef};
use crate::inputs::Inputs;
use crate::located::Located;
use crate::plan::{AgentPlan, Bounds, StepKind, TOOLS_AT_ONCE, TURNS};
use crate::references::{Sight, Uses};

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
        self.unpriced(agent, settings.as_ref());
        self.simulated(agent, opened.name(), def.modifiers().fallback.is_some());
        let essence = json!({
            "model": settings.as_ref().map_or(json!(&*name), essence_of),
            "system": told,
            "prompt": asks,
            "tools": tools.iter().map(|tool| json!([tool.tool.spec(), tool.essence])).collect::<Vec<_>>(),
            "answer": answer.as_ref().map(Inputs::schema),
            "bounds": format!("{:?}", bounds?),
        });
        let calls: Vec<(&str, Twice)> = agent
            .tools
            .iter()
            .zip(&tools)
            .map(|(name, tool)| (name.value.as_str(), self.twice(&name.value, tool, &[])))
            .collect();
        let first = |will_do: fn(Twice) -> bool| {
            calls.iter().find(|(_, twice)| will_do(*twice)).map(|(name, _)| (*name).to_owned())
        };
        let unrepeatable = first(|twice| twice != Twice::Harmless);
        let harmful = first(|twice| twice == Twice::Done);
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

    /// A bound on the cost of what has no price holds nothing.
    fn unpriced(&mut self, agent: &AgentDef, settings: Option<&ModelDef>) {
        let Some(cost) = &agent.max_cost else { return };
        if settings.is_none_or(|settings| settings.prices.is_none()) {
            let message = "the model has no prices in this file: unless it tells what it costs, this bounds nothing";
            let problem = self.compiler.source.diagnose(Some(cost.at.clone()), message).warning();
            let hint = "declare it under `models` with `prices: { input: 0.4, output: 1.6 }`, for a million tokens";
            self.warnings.push(problem.with_hint(hint));
        }
    }

    /// Warns of what the models that need no provider cannot do.
    fn simulated(&mut self, agent: &AgentDef, model: &str, has_fallback: bool) {
        if !model.starts_with("simulated/") {
            return;
        }
        let place = agent.model.as_ref().or(self.file.defaults.model.as_ref()).map(|model| model.at.clone());
        let mut warn = |message: String, hint: &str| {
            let problem = self.compiler.source.diagnose(place.clone(), message).warning();
            self.warnings.push(problem.with_hint(hint));
        };
        if agent.answer.is_some() {
            // Somebody tries how the flow goes on without it.
            if !has_fallback {
                let message = format!("`{model}` says words only: it never gives an `answer` with fields");
                warn(message, "name a model of a provider, or leave `answer` out while you try the flow");
            }
        } else if !agent.tools.is_empty() {
            let message = format!("`{model}` says words only: it never calls a tool");
            warn(message, "name a model of a provider, such as openai/gpt-5-mini, to see the tools at work");
        }
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
