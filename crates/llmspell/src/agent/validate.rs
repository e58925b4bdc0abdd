//! Validation of an agent's settings: reports every problem at once, before any model is called.

use std::collections::BTreeSet;

use serde_json::Value;

use super::AgentBuilder;
use crate::error::Error;
use crate::model::{OutputFormat, ToolChoice};
use crate::observe::cost::Cost;
use crate::suggest;
use crate::tool::{CallConcurrency, ToolSpec};

/// Returns everything that is wrong with the settings, each as an error with a hint.
pub(super) fn problems(builder: &AgentBuilder) -> Vec<Error> {
    let mut problems = Problems::default();
    problems.check_limits(builder);
    if let Some((problem, hint)) = builder.options.problem() {
        problems.add(problem, hint);
    }
    for spec in builder.tools.iter().map(|tool| tool.spec()) {
        problems.check_arguments(spec);
    }
    let names = problems.check_names(builder);
    problems.check_tool_choice(&builder.options.tool_choice, &names);
    if matches!(&builder.options.output, OutputFormat::Schema { schema, .. } if !schema.is_object()) {
        problems.add("the schema of the output is not a JSON object".into(), "");
    }
    problems.0
}

#[derive(Default)]
struct Problems(Vec<Error>);

impl Problems {
    /// Adds a problem. An empty hint stands for none.
    fn add(&mut self, message: String, hint: &str) {
        let error = Error::invalid(message);
        self.0.push(if hint.is_empty() { error } else { error.with_hint(hint.to_owned()) });
    }

    fn check_limits(&mut self, builder: &AgentBuilder) {
        if builder.max_turns == 0 {
            self.add(
                "`max_turns` is 0: the model is never called".into(),
                "set at least 1 for an answer, at least 2 for tool calls before it",
            );
        }
        if builder.tool_limit == 0 {
            self.add("`tool_limit` is 0: no tool can ever run".into(), "set 1 to run one call after another");
        }
        if builder.max_tokens == Some(0) {
            self.add("`max_tokens` is 0: there are no tokens for the first turn".into(), "");
        }
        if builder.max_cost.is_some_and(Cost::is_zero) {
            self.add("`max_cost` is not a number above 0".into(), "");
        }
        if builder.deadline.is_some_and(|time| time.is_zero()) {
            self.add("the deadline is 0: it passes before the first turn".into(), "");
        }
    }

    /// Checks that models can send the arguments of a tool, and that its calls can be keyed.
    fn check_arguments(&mut self, spec: &ToolSpec) {
        let kind = &spec.parameters["type"];
        let has_object = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind == "object");
        if !kind.is_null() && kind != "object" && !kind.as_array().is_some_and(has_object) {
            let hint = "models send an object: use a struct with a field for each argument, or `()` for none";
            self.add(format!("the arguments of the tool `{}` are of the type {kind}", spec.name), hint);
        }
        // A schema without a list of properties allows any.
        let Some(properties) = spec.parameters["properties"].as_object() else { return };
        if let CallConcurrency::Keyed(argument) = &spec.concurrency
            && !properties.contains_key(argument)
        {
            let hint = suggest::hint(argument, properties.keys().map(String::as_str), "its arguments are");
            self.add(format!("the tool `{}` is keyed by the unknown argument `{argument}`", spec.name), &hint);
        }
    }

    /// Checks the names of the tools, and returns them.
    fn check_names<'a>(&mut self, builder: &'a AgentBuilder) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        for name in builder.tools.iter().map(|tool| tool.spec().name.as_str()) {
            if !names.insert(name) {
                self.add(format!("two tools are named `{name}`"), "rename one of them with `Tool::renamed`");
            }
            if !is_callable(name) {
                let hint = "use 1 to 64 letters, digits, `_` and `-`, which all providers accept: \
                            rename the tool with `Tool::renamed`";
                self.add(format!("models cannot call a tool named `{name}`"), hint);
            }
        }
        names
    }

    fn check_tool_choice(&mut self, choice: &ToolChoice, names: &BTreeSet<&str>) {
        match choice {
            ToolChoice::Tool(name) if !names.contains(name.as_str()) => {
                let hint = match names.len() {
                    0 => "it has no tools".to_owned(),
                    _ => suggest::hint(name, names.iter().copied(), "its tools are"),
                };
                self.add(format!("`tool_choice` names the tool `{name}`, which the agent does not have"), &hint);
            }
            ToolChoice::Required if names.is_empty() => {
                self.add("`tool_choice` requires a tool, and the agent has none".into(), "");
            }
            ToolChoice::Required | ToolChoice::Tool(_) => {
                let hint = "leave it at `Auto`, or call the model itself with `Model::step`";
                self.add("a `tool_choice` that requires a tool in every turn never allows an answer".into(), hint);
            }
            _ => {}
        }
    }
}

/// Returns whether all providers accept the name of a tool.
fn is_callable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
