//! The shapes of outputs, as far as they follow from the file.

use super::Checker;
use super::flow_tools::ResolvedTool;
use super::scope::NameScope;
use crate::ir::fields::Inputs;
use crate::ir::shape::Shape;
use crate::ir::step::{Step, StepKind};
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::source::Source;
use crate::template::Template;

/// Returns the shape of a kind's output.
pub(super) fn of_kind(kind: &StepKind, scope: &NameScope) -> Shape {
    let last = |steps: &[Step]| steps.last().map_or(Shape::Any, |step| step.shape.clone());
    match kind {
        StepKind::Tool { shape, .. } => shape.clone(),
        StepKind::Value(value) => Shape::of(value, &|name| scope.shape_of(name)),
        StepKind::Agent(agent) => agent.answer.as_ref().map_or(Shape::Text, Shape::declared),
        StepKind::Concurrent { branches, .. } => {
            Shape::fields(branches.iter().map(|branch| (branch.id.to_string(), branch.shape.clone())))
        }
        StepKind::Race { contenders, .. } => match contenders.split_first() {
            Some((first, others)) if others.iter().all(|other| other.shape == first.shape) => first.shape.clone(),
            _ => Shape::Any,
        },
        StepKind::Pipeline(steps) | StepKind::Repeat { steps, .. } => last(steps),
        StepKind::Items { steps, .. } => Shape::list(last(steps)),
    }
}

/// Returns the shape of a step's output. Fallbacks, and a condition that may not hold, can make it unknown.
pub(super) fn of_step(kind: &StepKind, scope: &NameScope, is_sure: bool, fallback: &[Step]) -> Shape {
    let itself = of_kind(kind, scope);
    if is_sure && fallback.iter().all(|fallback| fallback.shape == itself) { itself } else { Shape::Any }
}

impl Checker<'_> {
    /// Returns the shape of a tool's output. It is known for built-in tools and for programs that the flow declares.
    pub(super) fn given(&self, name: &str, tool: &ResolvedTool, arguments: &[(String, Template)]) -> Shape {
        if !tool.definition.is_null() {
            return program();
        }
        if self.toolbox.is_built_in(name) { built_in(name, arguments) } else { Shape::Any }
    }
}

fn program() -> Shape {
    Shape::fields([("stdout".to_owned(), Shape::TEXT), ("stderr".to_owned(), Shape::TEXT)])
}

fn built_in(name: &str, arguments: &[(String, Template)]) -> Shape {
    let given = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let is = |name: &str, wanted: serde_json::Value| given(name).and_then(Template::literal) == Some(&wanted);
    match name {
        "command" => program(),
        "http_get" | "http_request" => Shape::table(["status", "headers", "body"]),
        "write_file" => Shape::table(["path", "bytes"]),
        "list_files" => Shape::list(Shape::table(["path", "name", "kind", "bytes"])),
        "html_to_text" => Shape::fields([
            ("title".to_owned(), Shape::TEXT),
            ("text".to_owned(), Shape::TEXT),
            ("links".to_owned(), Shape::list(Shape::table(["text", "url"]))),
        ]),
        "read_file" if given("format").is_none() || is("format", "text".into()) => Shape::TEXT,
        "hash" | "template" => Shape::TEXT,
        "calculator" => Shape::Plain("a number"),
        "csv" if given("format").is_some() => Shape::TEXT,
        "csv" => Shape::list(Shape::Any),
        "text" if is("count", true.into()) => Shape::table(["chars", "words", "lines"]),
        "text" if given("count").is_some() => Shape::Any,
        "text" if given("split").is_some() || given("extract_all").is_some() => Shape::list(Shape::TEXT),
        "text" => match given("matches").map(|table| Shape::of(table, &|_| Shape::Any)) {
            None => Shape::TEXT,
            Some(Shape::Table(fields)) => {
                Shape::fields(fields.iter().map(|(name, _)| (name.clone(), Shape::Plain("true or false"))))
            }
            Some(_) => Shape::Any,
        },
        _ => Shape::Any,
    }
}

/// Adds a problem for each field under `returns` that the output cannot have.
pub(super) fn returned(
    file: &FlowFile,
    output: &Shape,
    returns: &Inputs,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let declared = file.returns.iter().flat_map(|returns| &returns.0);
    // An optional field may always be missing.
    let mut required = declared.filter(|(name, _)| returns.requires(&name.value));
    match output {
        Shape::Any => {}
        Shape::Table(fields) => {
            for (name, _) in required {
                if !fields.iter().any(|(given, _)| *given == name.value) {
                    let given: Vec<String> = fields.iter().map(|(given, _)| format!("`{given}`")).collect();
                    let message = format!("the output of the flow has no field `{}`", name.value);
                    let hint = format!("it has {}: add the field there, or leave it out here", given.join(", "));
                    problems.push(source.diagnose(Some(name.at.clone()), message).with_hint(hint));
                }
            }
        }
        other => {
            if let Some((name, _)) = required.next() {
                let what = other.display_name();
                let message = format!("the output of the flow is {what}, and has no field `{}`", name.value);
                let hint = format!("write the output as `output: {{ {}: … }}`, or leave `returns` out", name.value);
                problems.push(source.diagnose(Some(name.at.clone()), message).with_hint(hint));
            }
        }
    }
}
