//! Goes through the steps of a flow as a record would, and counts what they would call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::count::{Count, List};
use super::estimate::Estimates;
use super::partial::Known;
use super::tokens::{Fixed, asked, most_output};
use crate::ir::agent::AgentPlan;
use crate::ir::step::{Planned, StepKind};
use crate::template::Expr;

/// Calls of a tool that a model may make, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentCalls {
    /// The tool, as the model knows it.
    pub tool: String,
    /// The path of the agent.
    pub agent: String,
    /// The most turns of the agent, all attempts together. How many calls a model makes in one turn has no bound.
    pub turns: Count,
}

/// What a flow would call.
#[derive(Default)]
pub(super) struct Tally {
    /// The most calls of each tool and each model.
    pub(super) calls: BTreeMap<String, Count>,
    /// The most turns in which agents may call tools, by the paths of the agents and the names of the tools.
    turns: BTreeMap<Arc<str>, (Vec<String>, Count)>,
    pub(super) estimates: Estimates,
}

impl Tally {
    pub(super) fn calls_by_agents(&self) -> Vec<AgentCalls> {
        let of = |(agent, (tools, turns)): (&Arc<str>, &(Vec<String>, Count))| {
            let (agent, turns) = (agent.to_string(), turns.clone());
            let calls =
                move |tool: &String| AgentCalls { tool: tool.clone(), agent: agent.clone(), turns: turns.clone() };
            tools.iter().map(calls).collect::<Vec<_>>()
        };
        self.turns.iter().flat_map(of).collect()
    }
}

/// A walk through a flow, as often as there are records.
pub(super) struct Walk<'a> {
    steps: &'a [Planned],
    /// The steps whose outputs decide anything.
    used: BTreeSet<&'a str>,
    /// What is the same in all requests of an agent, by its path.
    fixed: BTreeMap<Arc<str>, Fixed>,
    /// How many items of lists may still be looked at, one by one, for this record.
    left: usize,
    pub(super) tally: Tally,
}

/// More items of one record than this are taken to be as the last that was looked at.
const ITEMS: usize = 100_000;

/// A record that fails, whatever its steps give: its `when` cannot be computed.
struct Fails;

/// How often something happens.
#[derive(Clone)]
struct Times {
    /// If all goes well.
    once: u64,
    /// At worst.
    worst: u64,
    /// For each item of these lists.
    lists: Vec<List>,
}

impl Times {
    fn times(&self, worst: u64) -> Self {
        Times { worst: self.worst.saturating_mul(worst), ..self.clone() }
    }

    fn of_both(&self, times: u64) -> Self {
        Times { once: self.once.saturating_mul(times), ..self.times(times) }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(steps: &'a [Planned]) -> Self {
        let mut used = BTreeSet::new();
        let mut fixed = BTreeMap::new();
        for step in steps.iter().flat_map(Planned::all) {
            let mut names: Vec<&str> = step.when.iter().flat_map(Expr::names).collect();
            match &step.kind {
                StepKind::Items { list, .. } => names.extend(list.names()),
                StepKind::Value(value) => names.extend(value.exprs().into_iter().flat_map(Expr::names)),
                StepKind::Agent(agent) => {
                    fixed.insert(step.path.clone(), Fixed::of(agent));
                    names.extend(agent.system.iter().chain([&agent.prompt]).flat_map(|prompt| prompt.names()));
                }
                _ => {}
            }
            used.extend(names.into_iter().filter_map(|name| name.strip_prefix("steps.")?.split('.').next()));
        }
        Walk { steps, used, fixed, left: 0, tally: Tally::default() }
    }

    /// Counts what would be called for a record.
    pub(super) fn record(&mut self, known: Known) {
        self.left = ITEMS;
        self.sequence(self.steps, known, &Times { once: 1, worst: 1, lists: Vec::new() });
    }

    fn sequence(&mut self, steps: &[Planned], mut known: Known, times: &Times) {
        for step in steps {
            match self.step(step, &known, times) {
                Ok(Some(output)) => known = known.with(&step.id, output),
                Ok(None) => {}
                // It gets no further.
                Err(Fails) => return,
            }
        }
    }

    /// Counts a step, and gives its output if somebody wants it and it is known.
    fn step(&mut self, step: &Planned, known: &Known, times: &Times) -> Result<Option<Value>, Fails> {
        let surely = match step.when.as_ref().map(|when| known.holds(when)) {
            Some(Some(Ok(false))) => return Ok(Some(Value::Null)),
            Some(Some(Err(_))) => return Err(Fails),
            Some(Some(Ok(true))) | None => true,
            // Nobody knows.
            Some(None) => false,
        };
        let copies = if step.modifiers.hedge.is_some() { 2 } else { 1 };
        let own = times.times(u64::from(step.modifiers.attempts()) * copies);
        match &step.kind {
            StepKind::Tool { is_pure: true, .. } | StepKind::Value(_) => {}
            StepKind::Tool { tool, .. } => self.calls(&tool.spec().name, &own),
            StepKind::Agent(agent) => self.agent(&step.path, agent, known, &own),
            StepKind::Items { steps, list, .. } => self.items(&step.path, steps, list, known, &own),
            StepKind::Repeat { steps, max, .. } => self.sequence(steps, known.of_round(), &own.times(u64::from(*max))),
            StepKind::Pipeline(steps) => self.sequence(steps, known.clone(), &own),
            StepKind::Concurrent { branches: steps, .. } | StepKind::Race { contenders: steps, .. } => {
                for step in steps {
                    // What fails alone may be left out, or lose a race.
                    let _ = self.step(step, known, &own);
                }
            }
        }
        for rung in &step.fallback {
            let _ = self.step(rung, known, &Times { once: 0, ..times.clone() });
        }
        Ok(match &step.kind {
            StepKind::Value(value) if surely && self.used.contains(&*step.id) => known.value(value),
            _ => None,
        })
    }

    fn items(&mut self, path: &Arc<str>, steps: &[Planned], list: &Expr, known: &Known, times: &Times) {
        let Some(items) = known.items(list) else {
            let mut times = times.clone();
            times.lists.push(List { path: path.clone(), text: Arc::from(list.text()) });
            return self.sequence(steps, known.of_any(), &times);
        };
        for (index, item) in items.iter().enumerate() {
            let known = known.of_item(item, index);
            if self.left == 0 {
                return self.sequence(steps, known, &times.of_both((items.len() - index) as u64));
            }
            self.left -= 1;
            self.sequence(steps, known, times);
        }
    }

    fn calls(&mut self, name: &str, times: &Times) {
        match self.tally.calls.get_mut(name) {
            Some(count) => count.add(&times.lists, times.worst),
            None => self.tally.calls.entry(name.to_owned()).or_default().add(&times.lists, times.worst),
        }
    }

    fn agent(&mut self, path: &Arc<str>, agent: &AgentPlan, known: &Known, times: &Times) {
        let turns = times.times(agent.most_turns());
        self.calls(&agent.model, &turns);
        if !agent.tools.is_empty() {
            let tools = || agent.tools.iter().map(|tool| tool.spec().name.clone()).collect();
            let (_, count) = self.tally.turns.entry(path.clone()).or_insert_with(|| (tools(), Count::default()));
            count.add(&times.lists, turns.worst);
        }
        let Some(fixed) = self.fixed.get(path) else { return };
        let estimate = self.tally.estimates.of(agent, &times.lists);
        let mut is_complete = true;
        let mut knows = |name: &str| {
            let is_known = known.knows(name);
            // A number of a digit or two.
            if !is_known && name != "index" {
                is_complete = false;
                note(&mut estimate.unknown, shown(name), true);
            }
            is_known
        };
        let seen = known.seen();
        let prompts = agent.system.iter().chain([&agent.prompt]).map(|prompt| prompt.size(&seen, &mut knows)).sum();
        let (once, worst) = asked(agent, fixed, prompts, is_complete);
        estimate.once.add(&once, times.once);
        estimate.worst.add(&worst, times.worst);
        if agent.most_turns() > 1 {
            let grows = most_output(agent).is_none() && agent.bounds.max_tokens.is_none();
            note(&mut estimate.unknown_answers, path, grows);
            note(&mut estimate.unknown_tool_answers, path, !agent.tools.is_empty());
        }
        fixed.unknown_tools.iter().for_each(|tool| note(&mut estimate.unknown_tools, tool, true));
    }
}

/// Adds a name to those that are unknown. There are few, and it is there with most records.
fn note(unknown: &mut BTreeSet<String>, name: &str, is_unknown: bool) {
    if is_unknown && !unknown.contains(name) {
        unknown.insert(name.to_owned());
    }
}

/// As much of a name as tells where it comes from: `steps.fetch` of `steps.fetch.body`.
fn shown(name: &str) -> &str {
    let parts = if name.starts_with("steps.") || name.starts_with("inputs.") { 2 } else { 1 };
    name.match_indices('.').nth(parts - 1).map_or(name, |(end, _)| &name[..end])
}
