//! The result of a check, and the rules of the checker, as text and as JSON.

use std::path::Path;

use llmspell_flow::{Diagnostic, LintRule};
use serde_json::{Value, json};

use crate::load::{LoadFailure, ReadyFlow};
use crate::ui::text::{count_of, wrap};

/// Returns one line about a valid flow: its steps and what it needs.
pub(crate) fn line(path: &Path, ready: &ReadyFlow) -> String {
    let flow = &ready.flow;
    let steps: Vec<&str> = flow.steps().collect();
    let steps = format!("{}: {}", count_of(steps.len() as u64, "step"), steps.join(" → "));
    let mut text = format!("{}: the flow `{}` is valid; {steps}", path.display(), flow.name());
    let flow_plan = flow.plan();
    let requested = flow.requested_permissions().list();
    let needs = [
        ("it requests", requested),
        ("secrets", flow_plan.secrets),
        ("models", flow_plan.models),
        ("servers", flow_plan.servers),
    ];
    for (what, names) in needs {
        if !names.is_empty() {
            text.push_str(&format!("; {what} {}", names.join(", ")));
        }
    }
    if !flow_plan.permissions.is_empty() {
        text.push_str(&format!("; run it with {}", flow_plan.permissions.join(" ")));
    }
    text
}

/// Returns a valid flow as an object. `is_ok` is false if its warnings count as errors.
pub(crate) fn object(path: &Path, ready: &ReadyFlow, is_ok: bool) -> Value {
    let flow_plan = ready.flow.plan();
    let warnings: Vec<Value> = warnings(ready).map(|warning| problem(&warning)).collect();
    json!({
        "file": path.display().to_string(), "ok": is_ok, "flow": ready.flow.name(), "errors": [],
        "warnings": warnings, "asks_for": ready.flow.requested_permissions().list(), "permissions": flow_plan.permissions,
        "secrets": flow_plan.secrets, "models": flow_plan.models, "servers": flow_plan.servers,
    })
}

/// Returns a flow that could not be loaded as an object.
pub(crate) fn failure_object(path: &Path, failure: &LoadFailure) -> Value {
    let errors: Vec<Value> = match failure {
        LoadFailure::Rejected(_, problems) => problems.iter().map(problem).collect(),
        LoadFailure::Unreadable(error) => vec![json!({ "message": error.to_string(), "hint": error.hint() })],
        LoadFailure::Interrupted(_) => Vec::new(),
    };
    json!({ "file": path.display().to_string(), "ok": false, "errors": errors, "warnings": [] })
}

/// Returns the warnings about a valid flow, and the keys that are not set.
pub(crate) fn warnings(ready: &ReadyFlow) -> impl Iterator<Item = Diagnostic> {
    ready.flow.warnings().chain(&ready.missing_keys).map(|problem| problem.clone().warning())
}

/// Returns a lint rule: its id, and its explanation below.
pub(crate) fn rule(rule: &LintRule) -> String {
    format!("{}\n\n{}", rule.id, wrap(rule.explanation, 80, 0))
}

/// Returns a lint rule as an object.
pub(crate) fn rule_object(rule: &LintRule) -> Value {
    json!({ "id": rule.id, "explanation": rule.explanation })
}

fn problem(problem: &Diagnostic) -> Value {
    json!({
        "message": problem.message(), "hint": problem.hint(), "line": problem.line(), "column": problem.column(),
    })
}
