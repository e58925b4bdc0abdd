//! A walk through the steps of a flow that counts their calls. It follows the path that a record would take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::count::{Count, List};
use super::estimate::Estimates;
use super::partial::PartialRecord;
use super::tokens::{FixedTokens, agent_use, max_output};
use crate::ir::agent::CheckedAgent;
use crate::ir::step::{Step, StepKind};
use crate::template::Formula;

/// The calls of a tool that a model may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentCalls {
    /// The name of the tool that the model sees.
    pub tool: String,
    /// The path of the agent.
    pub agent: String,
    /// The maximum number of turns of the agent, in all attempts together. The calls in one turn have no bound.
    pub turns: Count,
}

/// The totals of a walk.
#[derive(Default)]
pub(super) struct PlanTotals {
    /// The maximum number of calls of each tool and each model.
    pub(super) calls: BTreeMap<String, Count>,
    /// The maximum number of turns in which agents may call tools, and the names of these tools, by the path of the agent.
    turns: BTreeMap<Arc<str>, (Vec<String>, Count)>,
    pub(super) estimates: Estimates,
}

impl PlanTotals {
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

/// A walk through a flow, once for each record.
pub(super) struct Walk<'a> {
    steps: &'a [Step],
    /// The steps whose outputs affect the counts.
    used: BTreeSet<&'a str>,
    /// The constant part of all requests of an agent, by its path.
    fixed: BTreeMap<Arc<str>, FixedTokens>,
    /// The number of list items that may still be visited one by one for this record.
    left: usize,
    pub(super) totals: PlanTotals,
}

/// The maximum number of items of one record that are visited. Further items count like the last visited one.
const MAX_ITEMS: usize = 100_000;

/// The record would fail, because a `when` in it cannot be evaluated.
struct RecordFails;

/// The number of times that a step runs.
#[derive(Clone)]
struct Multiplier {
    /// In the best case.
    once: u64,
    /// In the worst case.
    worst: u64,
    /// Both are for each item of these lists.
    lists: Vec<List>,
}

impl Multiplier {
    fn times(&self, worst: u64) -> Self {
        Multiplier { worst: self.worst.saturating_mul(worst), ..self.clone() }
    }

    fn of_both(&self, times: u64) -> Self {
        Multiplier { once: self.once.saturating_mul(times), ..self.times(times) }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(steps: &'a [Step]) -> Self {
        let mut used = BTreeSet::new();
        let mut fixed = BTreeMap::new();
        for step in steps.iter().flat_map(Step::all) {
            let mut names: Vec<&str> = step.when.iter().flat_map(Formula::names).collect();
            match &step.kind {
                StepKind::Items { list, .. } => names.extend(list.names()),
                StepKind::Value(value) => names.extend(value.formulas().into_iter().flat_map(Formula::names)),
                StepKind::Agent(agent) => {
                    fixed.insert(step.path.clone(), FixedTokens::of(agent));
                    names.extend(agent.system.iter().chain([&agent.prompt]).flat_map(|prompt| prompt.names()));
                }
                _ => {}
            }
            used.extend(names.into_iter().filter_map(|name| name.strip_prefix("steps.")?.split('.').next()));
        }
        Walk { steps, used, fixed, left: 0, totals: PlanTotals::default() }
    }

    /// Counts the calls for a record.
    pub(super) fn record(&mut self, known: PartialRecord) {
        self.left = MAX_ITEMS;
        self.sequence(self.steps, known, &Multiplier { once: 1, worst: 1, lists: Vec::new() });
    }

    fn sequence(&mut self, steps: &[Step], mut known: PartialRecord, times: &Multiplier) {
        for step in steps {
            match self.step(step, &known, times) {
                Ok(Some(output)) => known = known.with(&step.id, output),
                Ok(None) => {}
                // The record would stop here.
                Err(RecordFails) => return,
            }
        }
    }

    /// Counts a step, and returns its output if it is known and used.
    fn step(&mut self, step: &Step, known: &PartialRecord, times: &Multiplier) -> Result<Option<Value>, RecordFails> {
        let is_certain = match step.when.as_ref().map(|when| known.holds(when)) {
            Some(Some(Ok(false))) => return Ok(Some(Value::Null)),
            Some(Some(Err(_))) => return Err(RecordFails),
            Some(Some(Ok(true))) | None => true,
            // Unknown.
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
                    // A failed branch may be left out, or lose a race.
                    let _ = self.step(step, known, &own);
                }
            }
        }
        for fallback in &step.fallback {
            let _ = self.step(fallback, known, &Multiplier { once: 0, ..times.clone() });
        }
        Ok(match &step.kind {
            StepKind::Value(value) if is_certain && self.used.contains(&*step.id) => known.value(value),
            _ => None,
        })
    }

    fn items(&mut self, path: &Arc<str>, steps: &[Step], list: &Formula, known: &PartialRecord, times: &Multiplier) {
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

    fn calls(&mut self, name: &str, times: &Multiplier) {
        match self.totals.calls.get_mut(name) {
            Some(count) => count.add(&times.lists, times.worst),
            None => self.totals.calls.entry(name.to_owned()).or_default().add(&times.lists, times.worst),
        }
    }

    fn agent(&mut self, path: &Arc<str>, agent: &CheckedAgent, known: &PartialRecord, times: &Multiplier) {
        let turns = times.times(agent.max_turns());
        self.calls(&agent.model, &turns);
        if !agent.tools.is_empty() {
            let tools = || agent.tools.iter().map(|tool| tool.spec().name.clone()).collect();
            let (_, count) = self.totals.turns.entry(path.clone()).or_insert_with(|| (tools(), Count::default()));
            count.add(&times.lists, turns.worst);
        }
        let Some(fixed) = self.fixed.get(path) else { return };
        let estimate = self.totals.estimates.of(agent, &times.lists);
        let mut is_complete = true;
        let mut knows = |name: &str| {
            let is_known = known.knows(name);
            // An index is a number of one or two digits, which is negligible.
            if !is_known && name != "index" {
                is_complete = false;
                note(&mut estimate.unknown, shown(name), true);
            }
            is_known
        };
        let seen = known.seen();
        let prompts = agent.system.iter().chain([&agent.prompt]).map(|prompt| prompt.size(&seen, &mut knows)).sum();
        let (once, worst) = agent_use(agent, fixed, prompts, is_complete);
        estimate.once.add(&once, times.once);
        estimate.worst.add(&worst, times.worst);
        if agent.max_turns() > 1 {
            let grows = max_output(agent).is_none() && agent.bounds.max_tokens.is_none();
            note(&mut estimate.unknown_answers, path, grows);
            note(&mut estimate.unknown_tool_answers, path, !agent.tools.is_empty());
        }
        fixed.unknown_tools.iter().for_each(|tool| note(&mut estimate.unknown_tools, tool, true));
    }
}

/// Adds an unknown name. It checks first, because there are few names and most records repeat them.
fn note(unknown: &mut BTreeSet<String>, name: &str, is_unknown: bool) {
    if is_unknown && !unknown.contains(name) {
        unknown.insert(name.to_owned());
    }
}

/// Returns the part of a name that identifies its source: `steps.fetch` of `steps.fetch.body`.
fn shown(name: &str) -> &str {
    let parts = if name.starts_with("steps.") || name.starts_with("inputs.") { 2 } else { 1 };
    name.match_indices('.').nth(parts - 1).map_or(name, |(end, _)| &name[..end])
}
