//! From checked steps to steps that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmspell::model::{Model, Prices, Reply, Request};
use llmspell::{BoxStep, Error, Step, race, settle, step, try_all};
use serde_json::{Map, Value};

use super::agent_step::{Answers, Asking};
use super::conditional_race::{Admitted, Contender, decided};
use super::items::Items;
use super::memo::StepKey;
use super::memoized::Keeping;
use super::policy::{Tunable, policy};
use super::redacted::Scrubbed;
use super::repeat::Repeat;
use super::scope::Scope;
use super::scoped_step::{Branches, Part, Rendered, Sequence};
use super::secrets::Secrets;
use super::tool_call::Call;
use crate::ir;
use crate::ir::agent::CheckedAgent;
use crate::ir::step::StepKind;
use crate::template::Formula;

/// Makes steps of a plan, and keeps what can be changed while they run.
pub(crate) struct Builder {
    pub(crate) secrets: Arc<Secrets>,
    /// What can be changed while they run, by the paths of the steps; of models, by `models.NAME`.
    pub(crate) tunables: Vec<(Arc<str>, Tunable)>,
    /// The models by what the flow calls them: what they are limited by is all agents' together.
    models: BTreeMap<Arc<str>, Arc<BoxStep<Request, Reply>>>,
}

impl Builder {
    pub(crate) fn new(secrets: Arc<Secrets>) -> Self {
        Builder { secrets, tunables: Vec::new(), models: BTreeMap::new() }
    }

    /// A step that adds its output to the record, without its name.
    pub(crate) fn part(&mut self, planned: ir::Step) -> (Arc<str>, BoxStep<Scope, Scope>) {
        let (id, when, value) = self.parts(planned);
        (id.clone(), Part { id, when, step: value }.boxed())
    }

    /// A step that gives its output alone, with its name.
    fn value(&mut self, planned: ir::Step) -> BoxStep<Scope, Value> {
        self.conditional(planned).1
    }

    /// The same, for whoever is not to ask it at all unless its condition holds.
    fn conditional(&mut self, planned: ir::Step) -> (Option<Arc<Formula>>, BoxStep<Scope, Value>) {
        let (id, when, value) = self.parts(planned);
        let step = match when.clone() {
            None => value.named(id).boxed(),
            when => Part { id: id.clone(), when, step: value }.map(Scope::into_last).named(id).boxed(),
        };
        (when, step)
    }

    fn parts(&mut self, planned: ir::Step) -> (Arc<str>, Option<Arc<Formula>>, BoxStep<Scope, Value>) {
        let key =
            planned.is_journaled().then(|| StepKey { path: planned.path.clone(), fingerprint: planned.fingerprint });
        let ir::Step { id, path, kind, when, modifiers, fallback, .. } = planned;
        let (policy, tunable) = policy(&modifiers);
        self.tunables.push((path, tunable));
        let silence = modifiers.timeout.as_ref().and_then(|timeout| {
            let never = std::time::Duration::MAX;
            let (first, idle) = (timeout.value.0.first, timeout.value.0.idle);
            (first.is_some() || idle.is_some())
                .then(|| (first.map_or(never, |time| time.0), idle.map_or(never, |time| time.0)))
        });
        let may_meet_secrets = matches!(kind, StepKind::Tool { .. } | StepKind::Agent(_));
        // A stream would contain a panic as well, but then nobody would know of which step it was.
        let step = self.kind(kind, &id).catch_panic().boxed();
        // A panic may tell them, too.
        let step = if may_meet_secrets { Scrubbed::around(step, &self.secrets) } else { step };
        let step = match silence {
            Some((first, idle)) => step.idle_timeout(first, idle).boxed(),
            None => step,
        };
        // The check has seen to it that a second call does no harm.
        let step = if modifiers.hedge.is_some() || modifiers.idempotent { step.idempotent().boxed() } else { step };
        let mut step = step.policy(policy).boxed();
        for rung in fallback {
            let (when, rung) = self.conditional(rung);
            let substitute = step.fallback(rung);
            step = match when {
                None => substitute.boxed(),
                // What cannot be told is told by the rung itself.
                Some(when) => substitute.when(move |scope| when.holds(&scope.value()).unwrap_or(true)).boxed(),
            };
        }
        if let Some(key) = key {
            step = Keeping { key, step: step.with_outcome() }.boxed();
        }
        (id, when.map(Arc::new), step)
    }

    fn kind(&mut self, kind: StepKind, id: &str) -> BoxStep<Scope, Value> {
        match kind {
            StepKind::Tool { tool, arguments, is_pure, .. } => {
                Call { arguments, tool: tool.into_step(), is_pure }.boxed()
            }
            StepKind::Value(template) => Rendered(template).boxed(),
            StepKind::Agent(plan) => self.agent(*plan, id),
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
                    return decided(race(contenders), first).boxed();
                }
                let contender = |(when, step)| Contender { when, step: Arc::new(step) };
                Admitted { contenders: contenders.into_iter().map(contender).collect(), first }.boxed()
            }
            StepKind::Pipeline(steps) => self.sequence(steps).map(Scope::into_last).boxed(),
            StepKind::Items { list, steps, limit, skip } => {
                Items { list, steps: Arc::new(self.sequence(steps)), limit, skip }.boxed()
            }
            StepKind::Repeat { steps, until, max } => Repeat { steps: self.sequence(steps), until, max }.boxed(),
        }
    }

    fn agent(&mut self, plan: CheckedAgent, id: &str) -> BoxStep<Scope, Value> {
        let assemble = plan.assemble(self.model(&plan));
        let CheckedAgent { system, prompt, answer, .. } = plan;
        match assemble {
            Ok(agent) => {
                let agent = Answers::of(agent, id, answer);
                Asking { agent, system, prompt }.boxed()
            }
            // It has been assemble before, when the file was checked.
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

    fn model(&mut self, plan: &CheckedAgent) -> Arc<BoxStep<Request, Reply>> {
        if let Some(model) = self.models.get(&plan.model) {
            return model.clone();
        }
        let model = plan.opened.clone().step();
        let model = match &plan.settings {
            None => model.boxed(),
            Some(settings) => {
                let prices = settings.prices.map(|prices| Prices::per_million(prices.input, prices.output));
                let (policy, tunable) = policy(&settings.modifiers());
                self.tunables.push((Arc::from(format!("models.{}", plan.model)), tunable));
                model.prices(prices.unwrap_or_default()).policy(policy).boxed()
            }
        };
        let model = Arc::new(model);
        self.models.insert(plan.model.clone(), model.clone());
        model
    }

    fn sequence(&mut self, steps: Vec<ir::Step>) -> Sequence {
        let part = |planned| {
            let (id, step) = self.part(planned);
            step.named(id)
        };
        Sequence(steps.into_iter().map(part).collect())
    }
}
