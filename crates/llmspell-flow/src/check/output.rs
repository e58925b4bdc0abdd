//! What comes out of a step, as far as it follows from the file.

use super::Checker;
use super::flow_tools::Named;
use super::references::Sight;
use crate::ir::fields::Inputs;
use crate::ir::shape::Shape;
use crate::ir::step::{Planned, StepKind};
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::source::Source;
use crate::template::Template;

/// What the output of a kind looks like.
pub(super) fn of_kind(kind: &StepKind, sight: &Sight) -> Shape {
    let last = |steps: &[Planned]| steps.last().map_or(Shape::Any, |step| step.shape.clone());
    match kind {
        StepKind::Tool { shape, .. } => shape.clone(),
        StepKind::Value(value) => Shape::of(value, &|name| sight.shape_of(name)),
        StepKind::Agent(agent) => agent.answer.as_ref().map_or(Shape::Words, Shape::declared),
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

/// That of the whole step: what stands in for it counts, and that it may not run.
pub(super) fn of_step(kind: &StepKind, sight: &Sight, is_sure: bool, fallback: &[Planned]) -> Shape {
    let itself = of_kind(kind, sight);
    if is_sure && fallback.iter().all(|rung| rung.shape == itself) { itself } else { Shape::Any }
}

impl Checker<'_> {
    /// What a tool gives for these arguments; anything, unless it is built in, or a program of the flow's own.
    pub(super) fn given(&self, name: &str, tool: &Named, arguments: &[(String, Template)]) -> Shape {
        if !tool.essence.is_null() {
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

/// Notes each field that the flow declares under `returns`, and its output cannot have.
pub(super) fn returned(
    file: &FlowFile,
    output: &Shape,
    returns: &Inputs,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let declared = file.returns.iter().flat_map(|returns| &returns.0);
    // What may be left out may be missing in anything.
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
                let what = other.described();
                let message = format!("the output of the flow is {what}, and has no field `{}`", name.value);
                let hint = format!("say what comes out: `output: {{ {}: … }}`, or leave `returns` out", name.value);
                problems.push(source.diagnose(Some(name.at.clone()), message).with_hint(hint));
            }
        }
    }
}
