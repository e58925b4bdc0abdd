//! Builds runnable steps from checked ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmspell::model::{Model, Prices, Reply, Request};
use llmspell::step::BoxStep;
use llmspell::{Error, Step, race, settle, step, try_all};
use serde_json::{Map, Value};

use super::agent_step::{AgentStep, Answers};
use super::conditional_race::{ConditionalRace, Contender, decided_by};
use super::items::Items;
use super::memo::StepKey;
use super::memoized::Memoized;
use super::policy::{Tunable, policy};
use super::redacted::Redacted;
use super::repeat::Repeat;
use super::scope::Scope;
use super::scoped_step::{Branches, Rendered, ScopedStep, Sequence};
use super::secrets::Secrets;
use super::tool_call::ToolCallStep;
use crate::ir;
use crate::ir::agent::CheckedAgent;
use crate::ir::step::StepKind;
use crate::template::Expr;

/// Builds the steps of a flow, and collects the settings that can change while they run.
pub(crate) struct Builder {
    pub(crate) secrets: Arc<Secrets>,
    /// The settings that can change while the steps run, by the paths of the steps; those of models by `models.NAME`.
    pub(crate) tunables: Vec<(Arc<str>, Tunable)>,
    /// The models by their names in the flow. The limits of a model are shared by all agents that use it.
    models: BTreeMap<Arc<str>, Arc<BoxStep<Request, Reply>>>,
}

impl Builder {
    pub(crate) fn new(secrets: Arc<Secrets>) -> Self {
        Builder { secrets, tunables: Vec::new(), models: BTreeMap::new() }
    }

    /// Builds a step that adds its output to the scope of the record, and returns it unnamed, with its name.
    pub(crate) fn step_into_scope(&mut self, checked: ir::Step) -> (Arc<str>, BoxStep<Scope, Scope>) {
        let (id, when, value) = self.unnamed(checked);
        (id.clone(), ScopedStep { id, when, step: value }.boxed())
    }

    /// Builds a step that returns its output alone, with its name.
    fn value(&mut self, checked: ir::Step) -> BoxStep<Scope, Value> {
        self.conditional(checked).1
    }

    /// Builds the same step together with its condition, for a caller that must not start it unless the condition
    /// holds.
    fn conditional(&mut self, checked: ir::Step) -> (Option<Arc<Expr>>, BoxStep<Scope, Value>) {
        let (id, when, value) = self.unnamed(checked);
        let step = match when.clone() {
            None => value.named(id).boxed(),
            when => ScopedStep { id: id.clone(), when, step: value }.map(Scope::into_last).named(id).boxed(),
        };
        (when, step)
    }

    fn unnamed(&mut self, checked: ir::Step) -> (Arc<str>, Option<Arc<Expr>>, BoxStep<Scope, Value>) {
        let key =
            checked.is_journaled().then(|| StepKey { path: checked.path.clone(), fingerprint: checked.fingerprint });
        let ir::Step { id, path, kind, when, modifiers, fallback, .. } = checked;
        let (policy, tunable) = policy(&modifiers);
        self.tunables.push((path, tunable));
        let idle_timeout = modifiers.timeout.as_ref().and_then(|timeout| {
            let never = std::time::Duration::MAX;
            let (first, idle) = (timeout.value.0.first, timeout.value.0.idle);
            (first.is_some() || idle.is_some())
                .then(|| (first.map_or(never, |time| time.0), idle.map_or(never, |time| time.0)))
        });
        let may_meet_secrets = matches!(kind, StepKind::Tool { .. } | StepKind::Agent(_));
        // A stream would also contain a panic, but would not know in which step it happened.
        let step = self.kind(kind, &id).catch_panic().boxed();
        // The message of a panic may also contain secrets, so redaction stands outside of `catch_panic`.
        let step = if may_meet_secrets { Redacted::around(step, &self.secrets) } else { step };
        let step = match idle_timeout {
            Some((first, idle)) => step.idle_timeout(first, idle).boxed(),
            None => step,
        };
        // The check has ensured that a second call does no harm.
        let step = if modifiers.hedge.is_some() || modifiers.idempotent { step.idempotent().boxed() } else { step };
        let mut step = step.policy(policy).boxed();
        for substitute in fallback {
            let (when, substitute) = self.conditional(substitute);
            let with_fallback = step.fallback(substitute);
            step = match when {
                None => with_fallback.boxed(),
                // If the condition fails to compute, the substitute runs and reports the error itself.
                Some(when) => with_fallback.when(move |scope| when.holds(&scope.value()).unwrap_or(true)).boxed(),
            };
        }
        if let Some(key) = key {
            step = Memoized { key, step: step.with_outcome() }.boxed();
        }
        (id, when.map(Arc::new), step)
    }

    fn kind(&mut self, kind: StepKind, id: &str) -> BoxStep<Scope, Value> {
        match kind {
            StepKind::Tool { tool, arguments, is_pure, .. } => {
                ToolCallStep { arguments, tool: tool.into_step(), is_pure }.boxed()
            }
            StepKind::Value(template) => Rendered(template).boxed(),
            StepKind::Agent(agent) => self.agent(*agent, id),
            StepKind::Concurrent { branches, limit, skip } => {
                let ids: Vec<Arc<str>> = branches.iter().map(|branch| branch.id.clone()).collect();
                let steps: Vec<_> = branches.into_iter().map(|branch| self.value(branch)).collect();
                let limit = limit.unwrap_or(steps.len());
                if skip {
                    Branches { ids, steps: settle(steps).limit(limit) }.boxed()
                } else {
                    let table = move |outputs: Vec<Value>| {
                        let keys = ids.iter().map(ToString::to_string);
                        Value::Object(keys.zip(outputs).collect::<Map<_, _>>())
                    };
                    try_all(steps).limit(limit).map(table).boxed()
                }
            }
            StepKind::Race { contenders, first } => {
                let contenders: Vec<_> = contenders.into_iter().map(|contender| self.conditional(contender)).collect();
                if contenders.iter().all(|(when, _)| when.is_none()) {
                    let contenders: Vec<_> = contenders.into_iter().map(|(_, contender)| contender).collect();
                    return decided_by(race(contenders), first).boxed();
                }
                let contender = |(when, step)| Contender { when, step: Arc::new(step) };
                ConditionalRace { contenders: contenders.into_iter().map(contender).collect(), first }.boxed()
            }
            StepKind::Pipeline(steps) => self.sequence(steps).map(Scope::into_last).boxed(),
            StepKind::Items { list, steps, limit, skip } => {
                Items { list, steps: Arc::new(self.sequence(steps)), limit, skip }.boxed()
            }
            StepKind::Repeat { steps, until, max } => Repeat { steps: self.sequence(steps), until, max }.boxed(),
        }
    }

    fn agent(&mut self, agent_def: CheckedAgent, id: &str) -> BoxStep<Scope, Value> {
        let assembled = agent_def.assemble(self.model(&agent_def));
        let CheckedAgent { system, prompt, answer, .. } = agent_def;
        match assembled {
            Ok(agent) => {
                let agent = Answers::new(agent, id, answer);
                AgentStep { agent, system, prompt }.boxed()
            }
            // Unreachable in practice: the check of the file has already assembled it.
            Err(error) => {
                let message = error.message().to_owned();
                step(move |_: Scope, _| {
                    let error = Error::invalid(message.clone());
                    async move { Err(error) }
                })
                .boxed()
            }
        }
    }

    fn model(&mut self, agent_def: &CheckedAgent) -> Arc<BoxStep<Request, Reply>> {
        if let Some(model) = self.models.get(&agent_def.model) {
            return model.clone();
        }
        let model = agent_def.opened.clone().step();
        let model = match &agent_def.settings {
            None => model.boxed(),
            Some(settings) => {
                let prices = settings.prices.map(|prices| Prices::per_million(prices.input, prices.output));
                let (policy, tunable) = policy(&settings.modifiers());
                self.tunables.push((Arc::from(format!("models.{}", agent_def.model)), tunable));
                model.prices(prices.unwrap_or_default()).policy(policy).boxed()
            }
        };
        let model = Arc::new(model);
        self.models.insert(agent_def.model.clone(), model.clone());
        model
    }

    fn sequence(&mut self, steps: Vec<ir::Step>) -> Sequence {
        let named_step = |checked| {
            let (id, step) = self.step_into_scope(checked);
            step.named(id)
        };
        Sequence(steps.into_iter().map(named_step).collect())
    }
}
