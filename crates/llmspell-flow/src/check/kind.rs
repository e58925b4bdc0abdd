//! What a step does: exactly one kind, and the keys that go with it.

use std::ops::Range;
use std::sync::Arc;

use llmspell_tools::MissingPermission;
use serde_json::{Value, json};

use super::arguments;
use super::flow_tools::Named;
use super::references::{Sight, Uses};
use super::{Checker, at_of, first};
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::ir::step::{ITEMS_AT_ONCE, Planned, StepKind};
use crate::syntax::file::{Expression, FirstDef, OnErrorDef, RungsDef, Short, StepDef};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::template::{Expr, Template};

/// The kinds, by their keys.
pub(crate) const KINDS: [&str; 8] = ["tool", "value", "agent", "concurrent", "race", "pipeline", "each", "repeat"];

impl Checker<'_> {
    /// The kind of a step, if it has one that is right.
    pub(super) fn kind(
        &mut self,
        step: &Located<StepDef>,
        sight: &Sight,
        path: &Arc<str>,
        uses: &Uses,
    ) -> Option<StepKind> {
        let def = &step.value;
        let kinds = kinds_of(def);
        let (word, at) = match kinds.as_slice() {
            [one] => one.clone(),
            [] => {
                let problem = "this step does not say what it does: the key `tool` is missing, or another kind";
                self.problem(first(step), problem.to_owned(), format!("the kinds are: {}", KINDS.join(", ")));
                return None;
            }
            [(one, _), (other, at), ..] => {
                let hint = "put one into the other, or make two steps of it";
                self.problem(at.clone(), format!("a step cannot be both `{one}` and `{other}`"), hint.to_owned());
                return None;
            }
        };
        self.strays(def, word);
        let limit = def.limit_of_parts();
        let skip = def.on_error.as_ref().is_some_and(|on_error| on_error.value == OnErrorDef::Skip);
        match word {
            "tool" => self.tool(def, sight, uses),
            "value" => def.value.as_ref().map(|value| StepKind::Value(self.value(value, sight, uses))),
            "agent" => self.agent(def, sight, uses),
            "concurrent" => {
                let list = &def.concurrent.as_ref()?.value;
                self.at_least_one(list.len(), "concurrent", &at);
                let branches = self.beside(list, sight, path);
                (branches.len() == list.len()).then_some(StepKind::Concurrent { branches, limit, skip })
            }
            "race" => {
                let list = &def.race.as_ref()?.value;
                if list.len() < 2 {
                    let hint = "give at least two steps, or leave `race` out".to_owned();
                    self.problem(at, format!("a race of {}", list.len()), hint);
                }
                let contenders = self.beside(list, sight, path);
                let first = def.first.as_ref().map_or(FirstDef::Success, |first| first.value);
                (contenders.len() == list.len()).then_some(StepKind::Race { contenders, first })
            }
            "pipeline" => {
                let list = &def.pipeline.as_ref()?.value;
                self.at_least_one(list.len(), "pipeline", &at);
                match &def.from {
                    None => {
                        let steps = self.list(list, &mut sight.clone(), path);
                        (steps.len() == list.len()).then_some(StepKind::Pipeline(steps))
                    }
                    Some(from) => self.items(from, list, (limit, skip), sight, path, uses),
                }
            }
            "each" => {
                let Some(body) = &def.body else {
                    let hint = "say what is done with each item: `do: { tool: … }`, or a list of steps".to_owned();
                    self.problem(at, "`each` needs `do`".to_owned(), hint);
                    return None;
                };
                let Located { value: Short(RungsDef(steps)), at: around } = body;
                let steps: Vec<_> = steps
                    .iter()
                    .map(|step| Located { value: step.value.clone(), at: at_of(step.at.clone(), around) })
                    .collect();
                self.items(def.each.as_ref()?, &steps, (limit, skip), sight, path, uses)
            }
            _ => self.repeat(def, &at, sight, path, uses),
        }
    }

    fn tool(&mut self, def: &StepDef, sight: &Sight, uses: &Uses) -> Option<StepKind> {
        let Located { value: name, at } = def.tool.as_ref()?;
        let with = def.with.as_ref().map(|with| with.value.0.as_slice()).unwrap_or_default();
        let mut seen = sight.clone();
        seen.secrets = true;
        let compiled: Vec<(String, Template)> =
            with.iter().map(|(key, value)| (key.value.clone(), self.value(value, &seen, uses))).collect();
        let exactly = self.missing_for(name, &compiled);
        let named = self.named_tool(name, at, exactly)?;
        let shape = self.given(name, &named, &compiled);
        let repeatability = self.repeatability(name, &named, &compiled);
        let Named { tool, is_pure, essence } = named;
        let compiler = &mut self.compiler;
        arguments::check(at, with, &compiled, tool.spec(), compiler.source, &mut compiler.problems);
        Some(StepKind::Tool { tool, essence, arguments: compiled, is_pure, repeatability, shape })
    }

    /// What is missing for a call of a built-in tool, if its arguments say what it touches.
    fn missing_for(&self, tool: &str, arguments: &[(String, Template)]) -> Option<Vec<MissingPermission>> {
        let argument = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        let gate = self.toolbox.gate(&self.asked);
        let missing = match tool {
            "command" => gate.missing_program(argument("argv")?.first()?.as_str()?),
            "http_get" | "http_request" => gate.missing_url(argument("url")?.literal()?.as_str()?),
            _ => return None,
        };
        Some(missing.into_iter().collect())
    }

    fn items(
        &mut self,
        list: &Located<Expression>,
        steps: &[Located<StepDef>],
        (limit, skip): (Option<usize>, bool),
        sight: &Sight,
        path: &Arc<str>,
        uses: &Uses,
    ) -> Option<StepKind> {
        let formula = self.bare(list, sight, uses);
        let mut inside = sight.clone();
        let items = sight.shape_of(list.value.0.trim());
        if !matches!(items, Shape::Any | Shape::List(_)) {
            let message = format!("`{}` is no list, but {}", list.value.0.trim(), items.described());
            self.problem(list.at.clone(), message, "name a list, such as `inputs.urls`".to_owned());
        }
        inside.item = Some(items.item());
        // A single step needs no name.
        let planned = match steps {
            [one] if one.value.id.is_none() => {
                self.step(one, &inside, path, Some("do".to_owned())).into_iter().collect::<Vec<_>>()
            }
            steps => self.list(steps, &mut inside, path),
        };
        let limit = limit.unwrap_or(ITEMS_AT_ONCE);
        (planned.len() == steps.len()).then_some(StepKind::Items { list: formula?, steps: planned, limit, skip })
    }

    fn repeat(
        &mut self,
        def: &StepDef,
        at: &Range<usize>,
        sight: &Sight,
        path: &Arc<str>,
        uses: &Uses,
    ) -> Option<StepKind> {
        let list = &def.repeat.as_ref()?.value;
        self.at_least_one(list.len(), "repeat", at);
        let mut inside = sight.clone();
        inside.round = true;
        let steps = self.list(list, &mut inside, path);
        let until = match &def.until {
            Some(until) => self.bare(until, &inside, uses),
            None => {
                let hint = "say when it is done: `until: steps.review.ok`".to_owned();
                self.problem(at.clone(), "`repeat` needs `until`".to_owned(), hint);
                None
            }
        };
        let max = match &def.max {
            Some(max) if (1..=1000).contains(&max.value) => Some(max.value),
            Some(max) => {
                self.problem(max.at.clone(), format!("{} rounds", max.value), "give 1 to 1000".to_owned());
                None
            }
            None => {
                let hint = "say how often at most: `max: 3`".to_owned();
                self.problem(at.clone(), "`repeat` needs `max`".to_owned(), hint);
                None
            }
        };
        (steps.len() == list.len()).then_some(StepKind::Repeat { steps, until: until?, max: max? })
    }

    fn at_least_one(&mut self, steps: usize, word: &str, at: &Range<usize>) {
        if steps == 0 {
            self.problem(at.clone(), format!("a `{word}` without steps"), "give it at least one step".to_owned());
        }
    }

    /// Keys that go with another kind.
    fn strays(&mut self, def: &StepDef, word: &str) {
        type Stray<'a> = (&'a str, Option<&'a Range<usize>>, &'a [&'a str]);
        let keys: [Stray<'_>; 8] = [
            ("with", def.with.as_ref().map(|key| &key.at), &["tool"]),
            ("first", def.first.as_ref().map(|key| &key.at), &["race"]),
            ("from", def.from.as_ref().map(|key| &key.at), &["pipeline"]),
            ("do", def.body.as_ref().map(|key| &key.at), &["each"]),
            ("on_error", def.on_error.as_ref().map(|key| &key.at), &["each", "concurrent", "pipeline"]),
            ("until", def.until.as_ref().map(|key| &key.at), &["repeat"]),
            ("max", def.max.as_ref().map(|key| &key.at), &["repeat"]),
            (
                "on_error",
                def.on_error.as_ref().filter(|_| def.from.is_none()).map(|key| &key.at),
                &["each", "concurrent"],
            ),
        ];
        for (key, at, kinds) in keys {
            if let Some(at) = at.filter(|_| !kinds.contains(&word)) {
                let listed = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" and ");
                let message = format!("`{key}` does not go with `{word}`");
                self.problem(at.clone(), message, format!("it goes with {listed}"));
                return;
            }
        }
    }

    /// A value with templates.
    pub(super) fn value(&mut self, value: &Located<Node>, sight: &Sight, uses: &Uses) -> Template {
        let references = self.references;
        self.compiler.compile(value.as_ref(), &|name| references.check(name, sight, uses))
    }

    /// A bare expression.
    pub(super) fn bare(&mut self, bare: &Located<Expression>, sight: &Sight, uses: &Uses) -> Option<Expr> {
        let references = self.references;
        self.compiler.bare(&bare.value.0, bare.at.clone(), &|name| references.check(name, sight, uses))
    }

    pub(super) fn problem(&mut self, at: Range<usize>, message: String, hint: String) {
        self.compiler.problems.push(self.compiler.source.diagnose(Some(at), message).with_hint(hint));
    }
}

/// The kinds that a step says it is, with their places.
fn kinds_of(def: &StepDef) -> Vec<(&'static str, Range<usize>)> {
    let kinds = [
        ("tool", def.tool.as_ref().map(|key| &key.at)),
        ("value", def.value.as_ref().map(|key| &key.at)),
        ("agent", def.agent.as_ref().map(|key| &key.at)),
        ("concurrent", def.concurrent.as_ref().map(|key| &key.at)),
        ("race", def.race.as_ref().map(|key| &key.at)),
        ("pipeline", def.pipeline.as_ref().map(|key| &key.at)),
        ("each", def.each.as_ref().map(|key| &key.at)),
        ("repeat", def.repeat.as_ref().map(|key| &key.at)),
    ];
    kinds.into_iter().filter_map(|(word, at)| Some((word, at?.clone()))).collect()
}

/// What the output of a step depends on: what it does, what it names, and what is inside of it. How it is run does
/// not count: another timeout makes no other output.
pub(super) fn fingerprint(def: &StepDef, kind: &StepKind, fallback: &[Planned], uses: &str) -> Fingerprint {
    let text = |expression: &Option<Located<Expression>>| expression.as_ref().map(|it| it.value.0.clone());
    let itself = match kind {
        StepKind::Tool { tool, essence, .. } => {
            let with = def.with.as_ref().map(|with| Node::Map(with.value.clone()).to_json());
            match essence {
                Value::Null => json!({ "tool": tool.spec().name, "with": with }),
                own => json!({ "tool": own, "with": with }),
            }
        }
        StepKind::Agent(agent) => json!({ "agent": agent.essence }),
        StepKind::Value(_) => json!({ "value": def.value.as_ref().map(|value| value.value.to_json()) }),
        StepKind::Race { first, .. } => json!({ "race": format!("{first:?}") }),
        StepKind::Concurrent { skip, .. } => json!({ "concurrent": skip }),
        StepKind::Pipeline(_) => json!("pipeline"),
        StepKind::Items { skip, .. } => json!({ "each": text(&def.each), "from": text(&def.from), "skip": skip }),
        StepKind::Repeat { max, .. } => json!({ "repeat": max, "until": text(&def.until) }),
    };
    let parts = |steps: &[Planned]| -> Vec<Value> {
        steps.iter().map(|step| json!([&*step.id, step.fingerprint.to_string()])).collect()
    };
    let all = json!([itself, text(&def.when), parts(kind.inner()), parts(fallback), uses]);
    Fingerprint::of(all.to_string().as_bytes())
}
