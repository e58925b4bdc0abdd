//! Checks of the kind of a step: exactly one kind, and only the keys that go with it.

use std::ops::Range;
use std::sync::Arc;

use llmspell_tools::MissingPermission;
use serde_json::{Value, json};

use super::arguments;
use super::flow_tools::ResolvedTool;
use super::scope::{Dependencies, NameScope};
use super::{Checker, at_or, start_of};
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::ir::step::{DEFAULT_ITEM_LIMIT, Step, StepKind};
use crate::syntax::file::{Expression, FirstDef, OnErrorDef, Short, StepDef, StepsDef};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::template::{Formula, Template};

/// The keys of the kinds.
pub(crate) const KINDS: [&str; 8] = ["tool", "value", "agent", "concurrent", "race", "pipeline", "each", "repeat"];

impl Checker<'_> {
    /// Checks the kind of a step.
    pub(super) fn kind(
        &mut self,
        step: &Located<StepDef>,
        scope: &NameScope,
        path: &Arc<str>,
        dependencies: &Dependencies,
    ) -> Option<StepKind> {
        let def = &step.value;
        let (kind, at) = self.only_kind(step)?;
        self.check_keys(def, kind);
        match kind {
            "tool" => self.tool(def, scope, dependencies),
            "value" => def.value.as_ref().map(|value| StepKind::Value(self.value(value, scope, dependencies))),
            "agent" => self.agent(def, scope, dependencies),
            "concurrent" => self.concurrent(def, &at, scope, path),
            "race" => self.race(def, at, scope, path),
            "pipeline" => self.pipeline(def, &at, scope, path, dependencies),
            "each" => self.each(def, at, scope, path, dependencies),
            _ => self.repeat(def, &at, scope, path, dependencies),
        }
    }

    /// Returns the key of the kind and its position, or reports that there is none or more than one.
    fn only_kind(&mut self, step: &Located<StepDef>) -> Option<(&'static str, Range<usize>)> {
        match kinds_of(&step.value).as_slice() {
            [one] => Some(one.clone()),
            [] => {
                let message = "a step without a kind: missing key `tool`, or the key of another kind";
                self.problem(start_of(step), message.to_owned(), format!("use one of: {}", KINDS.join(", ")));
                None
            }
            [(one, _), (other, at), ..] => {
                let hint = "put one into the other, or write two steps";
                self.problem(at.clone(), format!("a step cannot be both `{one}` and `{other}`"), hint.to_owned());
                None
            }
        }
    }

    fn concurrent(&mut self, def: &StepDef, at: &Range<usize>, scope: &NameScope, path: &Arc<str>) -> Option<StepKind> {
        let list = &def.concurrent.as_ref()?.value;
        self.at_least_one(list.len(), "concurrent", at);
        let branches = self.siblings(list, scope, path);
        let (limit, skip) = (def.limit_of_parts(), skips_errors(def));
        (branches.len() == list.len()).then_some(StepKind::Concurrent { branches, limit, skip })
    }

    fn race(&mut self, def: &StepDef, at: Range<usize>, scope: &NameScope, path: &Arc<str>) -> Option<StepKind> {
        let list = &def.race.as_ref()?.value;
        if list.len() < 2 {
            let hint = "write at least two steps, or leave `race` out".to_owned();
            self.problem(at, format!("a race of {}", list.len()), hint);
        }
        let contenders = self.siblings(list, scope, path);
        let first = def.first.as_ref().map_or(FirstDef::Success, |first| first.value);
        (contenders.len() == list.len()).then_some(StepKind::Race { contenders, first })
    }

    fn pipeline(
        &mut self,
        def: &StepDef,
        at: &Range<usize>,
        scope: &NameScope,
        path: &Arc<str>,
        dependencies: &Dependencies,
    ) -> Option<StepKind> {
        let list = &def.pipeline.as_ref()?.value;
        self.at_least_one(list.len(), "pipeline", at);
        match &def.from {
            None => {
                let steps = self.sequence(list, &mut scope.clone(), path);
                (steps.len() == list.len()).then_some(StepKind::Pipeline(steps))
            }
            Some(from) => self.items(from, list, def, scope, path, dependencies),
        }
    }

    fn each(
        &mut self,
        def: &StepDef,
        at: Range<usize>,
        scope: &NameScope,
        path: &Arc<str>,
        dependencies: &Dependencies,
    ) -> Option<StepKind> {
        let Some(body) = &def.body else {
            let hint = "write the step for each item: `do: { tool: … }`, or a list of steps".to_owned();
            self.problem(at, "`each` needs `do`".to_owned(), hint);
            return None;
        };
        let Located { value: Short(StepsDef(steps)), at: around } = body;
        let steps: Vec<_> = steps
            .iter()
            .map(|step| Located { value: step.value.clone(), at: at_or(step.at.clone(), around) })
            .collect();
        self.items(def.each.as_ref()?, &steps, def, scope, path, dependencies)
    }

    fn tool(&mut self, def: &StepDef, scope: &NameScope, dependencies: &Dependencies) -> Option<StepKind> {
        let Located { value: name, at } = def.tool.as_ref()?;
        let with = def.with.as_ref().map(|with| with.value.0.as_slice()).unwrap_or_default();
        let mut seen = scope.clone();
        seen.secrets = true;
        let compiled: Vec<(String, Template)> =
            with.iter().map(|(key, value)| (key.value.clone(), self.value(value, &seen, dependencies))).collect();
        let exactly = self.missing_for(name, &compiled);
        let named = self.named_tool(name, at, exactly)?;
        let shape = self.given(name, &named, &compiled);
        let repeatability = self.repeatability(name, &named, &compiled);
        let ResolvedTool { tool, is_pure, definition } = named;
        let compiler = &mut self.compiler;
        arguments::check(at, with, &compiled, tool.spec(), compiler.source, &mut compiler.problems);
        Some(StepKind::Tool { tool, definition, arguments: compiled, is_pure, repeatability, shape })
    }

    /// Returns the permissions missing for a call of a built-in tool, if its arguments are constant.
    fn missing_for(&self, tool: &str, arguments: &[(String, Template)]) -> Option<Vec<MissingPermission>> {
        let argument = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        let gate = self.toolbox.gate(&self.requested);
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
        def: &StepDef,
        scope: &NameScope,
        path: &Arc<str>,
        dependencies: &Dependencies,
    ) -> Option<StepKind> {
        let formula = self.bare(list, scope, dependencies);
        let mut inside = scope.clone();
        let items = scope.shape_of(list.value.0.trim());
        if !matches!(items, Shape::Any | Shape::List(_)) {
            let message = format!("`{}` must be a list, but is {}", list.value.0.trim(), items.display_name());
            self.problem(list.at.clone(), message, "name a list, such as `inputs.urls`".to_owned());
        }
        inside.item = Some(items.item());
        // A single step needs no id.
        let checked = match steps {
            [one] if one.value.id.is_none() => {
                self.step(one, &inside, path, Some("do".to_owned())).into_iter().collect::<Vec<_>>()
            }
            steps => self.sequence(steps, &mut inside, path),
        };
        let (limit, skip) = (def.limit_of_parts().unwrap_or(DEFAULT_ITEM_LIMIT), skips_errors(def));
        (checked.len() == steps.len()).then_some(StepKind::Items { list: formula?, steps: checked, limit, skip })
    }

    fn repeat(
        &mut self,
        def: &StepDef,
        at: &Range<usize>,
        scope: &NameScope,
        path: &Arc<str>,
        dependencies: &Dependencies,
    ) -> Option<StepKind> {
        let list = &def.repeat.as_ref()?.value;
        self.at_least_one(list.len(), "repeat", at);
        let mut inside = scope.clone();
        inside.round = true;
        let steps = self.sequence(list, &mut inside, path);
        let until = match &def.until {
            Some(until) => self.bare(until, &inside, dependencies),
            None => {
                let hint = "write the condition that ends it: `until: steps.review.ok`".to_owned();
                self.problem(at.clone(), "`repeat` needs `until`".to_owned(), hint);
                None
            }
        };
        let max = match &def.max {
            Some(max) if (1..=1000).contains(&max.value) => Some(max.value),
            Some(max) => {
                self.problem(max.at.clone(), format!("{} rounds", max.value), "write 1 to 1000".to_owned());
                None
            }
            None => {
                let hint = "write the maximum number of rounds: `max: 3`".to_owned();
                self.problem(at.clone(), "`repeat` needs `max`".to_owned(), hint);
                None
            }
        };
        (steps.len() == list.len()).then_some(StepKind::Repeat { steps, until: until?, max: max? })
    }

    fn at_least_one(&mut self, steps: usize, kind: &str, at: &Range<usize>) {
        if steps == 0 {
            self.problem(at.clone(), format!("a `{kind}` without steps"), "write at least one step".to_owned());
        }
    }

    /// Reports keys that belong to another kind.
    fn check_keys(&mut self, def: &StepDef, kind: &str) {
        type Misplaced<'a> = (&'a str, Option<&'a Range<usize>>, &'a [&'a str]);
        let keys: [Misplaced<'_>; 8] = [
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
            if let Some(at) = at.filter(|_| !kinds.contains(&kind)) {
                let listed = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" and ");
                let message = format!("`{key}` does not go with `{kind}`");
                self.problem(at.clone(), message, format!("use it with {listed}"));
                return;
            }
        }
    }

    /// Compiles a value with templates.
    pub(super) fn value(&mut self, value: &Located<Node>, scope: &NameScope, dependencies: &Dependencies) -> Template {
        let references = self.references;
        self.compiler.compile(value.as_ref(), &|name| references.check(name, scope, dependencies))
    }

    /// Compiles a bare expression.
    pub(super) fn bare(
        &mut self,
        bare: &Located<Expression>,
        scope: &NameScope,
        dependencies: &Dependencies,
    ) -> Option<Formula> {
        let references = self.references;
        self.compiler.bare(&bare.value.0, bare.at.clone(), &|name| references.check(name, scope, dependencies))
    }

    pub(super) fn problem(&mut self, at: Range<usize>, message: String, hint: String) {
        self.compiler.problems.push(self.compiler.source.diagnose(Some(at), message).with_hint(hint));
    }
}

/// Returns whether failed items or branches are left out.
fn skips_errors(def: &StepDef) -> bool {
    def.on_error.as_ref().is_some_and(|on_error| on_error.value == OnErrorDef::Skip)
}

/// Returns the keys of kinds in a step, with their positions.
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
    kinds.into_iter().filter_map(|(kind, at)| Some((kind, at?.clone()))).collect()
}

/// Returns the fingerprint of everything that the output of a step depends on: its work, the names that it uses, and its
/// inner steps. Most modifiers do not count: another timeout does not change the output.
pub(super) fn fingerprint(def: &StepDef, kind: &StepKind, fallback: &[Step], dependencies: &str) -> Fingerprint {
    let text = |expression: &Option<Located<Expression>>| expression.as_ref().map(|it| it.value.0.clone());
    let itself = match kind {
        StepKind::Tool { tool, definition, .. } => {
            let with = def.with.as_ref().map(|with| Node::Map(with.value.clone()).to_json());
            match definition {
                Value::Null => json!({ "tool": tool.spec().name, "with": with }),
                own => json!({ "tool": own, "with": with }),
            }
        }
        StepKind::Agent(agent) => json!({ "agent": agent.definition }),
        StepKind::Value(_) => json!({ "value": def.value.as_ref().map(|value| value.value.to_json()) }),
        StepKind::Race { first, .. } => json!({ "race": format!("{first:?}") }),
        StepKind::Concurrent { skip, .. } => json!({ "concurrent": skip }),
        StepKind::Pipeline(_) => json!("pipeline"),
        StepKind::Items { skip, .. } => json!({ "each": text(&def.each), "from": text(&def.from), "skip": skip }),
        StepKind::Repeat { max, .. } => json!({ "repeat": max, "until": text(&def.until) }),
    };
    let parts = |steps: &[Step]| -> Vec<Value> {
        steps.iter().map(|step| json!([&*step.id, step.fingerprint.to_string()])).collect()
    };
    let all = json!([itself, text(&def.when), parts(kind.inner()), parts(fallback), dependencies]);
    Fingerprint::of(all.to_string().as_bytes())
}
