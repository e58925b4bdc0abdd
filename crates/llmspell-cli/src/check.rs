//! `llmspell check`: what is wrong with flow files, and what they want.

use std::path::Path;

use llmspell::Registry;
use llmspell_flow::{Diagnostic, Flow, LoadError};
use serde_json::{Value, json};

use crate::allow;
use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::show;

/// Checks each file and says so; the exit code tells whether all are right.
pub(crate) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::nothing(registry)?;
    let mut exit = Exit::Ok;
    for path in &args.flows {
        let read = Flow::load(path, &toolbox);
        let right = read.as_ref().is_ok_and(|flow| !args.strict || flow.warnings().next().is_none());
        if !right {
            exit = Exit::Invalid;
        }
        let text = if args.json { as_json(path, &read, right).to_string() } else { told(path, &read, right) };
        if !text.is_empty() {
            show::data(&text).map_err(Failure::output)?;
        }
    }
    Ok(exit)
}

/// Shows what is wrong, and gives what there is to say of a file that is right.
fn told(path: &Path, read: &Result<Flow, LoadError>, right: bool) -> String {
    let flow = match read {
        Ok(flow) => flow,
        Err(wrong) => {
            show::problem(&wrong.to_string());
            return String::new();
        }
    };
    flow.warnings().for_each(|warning| show::problem(&warning.to_string()));
    if !right {
        return String::new();
    }
    let steps: Vec<&str> = flow.steps().collect();
    let steps = format!("{}: {}", show::counted(steps.len() as u64, "step"), steps.join(" → "));
    let mut text = format!("{}: the flow `{}` is right; {steps}", path.display(), flow.name());
    let outline = flow.outline();
    if !outline.permissions.is_empty() {
        text.push_str(&format!("; to run it, allow what it asks for: {}", outline.permissions.join(" ")));
    }
    for (what, names) in [("secrets", outline.secrets), ("models", outline.models), ("servers", outline.servers)] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", names.join(", ")));
        }
    }
    text
}

fn as_json(path: &Path, read: &Result<Flow, LoadError>, right: bool) -> Value {
    let path = path.display().to_string();
    match read {
        Ok(flow) => {
            let outline = flow.outline();
            let warnings: Vec<Value> = flow.warnings().map(problem).collect();
            json!({
                "file": path, "ok": right, "flow": flow.name(), "errors": [], "warnings": warnings,
                "permissions": outline.permissions, "secrets": outline.secrets, "models": outline.models,
                "servers": outline.servers,
            })
        }
        Err(LoadError::Wrong(wrong)) => {
            let errors: Vec<Value> = wrong.iter().map(problem).collect();
            json!({ "file": path, "ok": false, "errors": errors, "warnings": [] })
        }
        Err(LoadError::Read(error)) => {
            let error = json!({ "message": error.to_string(), "hint": error.hint() });
            json!({ "file": path, "ok": false, "errors": [error], "warnings": [] })
        }
    }
}

fn problem(problem: &Diagnostic) -> Value {
    json!({
        "message": problem.message(), "hint": problem.hint(), "line": problem.line(), "column": problem.column(),
    })
}
