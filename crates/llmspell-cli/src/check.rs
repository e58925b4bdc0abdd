//! `llmspell check`: what is wrong with flow files, and what they want.

use std::path::Path;

use llmspell::Registry;
use llmspell_flow::{Diagnostic, Toolbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::open::{self, NotOpened, Opened};
use crate::{allow, run, show};

/// Checks each file and says so; the exit code tells whether all are right.
pub(crate) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let runtime = args.connect.then(run::runtime).transpose()?;
    let mut exit = Exit::Ok;
    for path in &args.flows {
        let opened = open(path, toolbox.clone(), registry, runtime.as_ref());
        let text = match &opened {
            Ok(opened) => {
                let right = !args.strict || warnings(opened).next().is_none();
                if !right {
                    exit = Exit::Invalid;
                }
                if args.json { as_json(path, opened, right).to_string() } else { told(path, opened, right) }
            }
            Err(why) => {
                exit = match why {
                    NotOpened::Wrong(exit, _) => *exit,
                    NotOpened::Unread(_) => Exit::Invalid,
                };
                if args.json { wrong_as_json(path, why).to_string() } else { String::new() }
            }
        };
        if !text.is_empty() {
            show::data(&text).map_err(Failure::output)?;
        }
        match opened {
            Ok(opened) => {
                if let Some(runtime) = &runtime {
                    runtime.block_on(opened.servers.close());
                }
            }
            Err(why) if !args.json => show::problem(&Failure::from(why).text),
            Err(_) => {}
        }
    }
    Ok(exit)
}

fn open(path: &Path, toolbox: Toolbox, registry: &Registry, runtime: Option<&Runtime>) -> Result<Opened, NotOpened> {
    match runtime {
        None => open::to_look(path, toolbox, registry),
        Some(runtime) => open::to_look_closely(path, toolbox, registry, runtime),
    }
}

/// What the flow does that nobody can want, and the keys that are not there.
fn warnings(opened: &Opened) -> impl Iterator<Item = Diagnostic> {
    opened.flow.warnings().chain(&opened.unset).map(|problem| problem.clone().warning())
}

/// Shows the warnings, and gives what there is to say of a flow that is right.
fn told(path: &Path, opened: &Opened, right: bool) -> String {
    warnings(opened).for_each(|warning| show::problem(&warning.to_string()));
    if !right {
        return String::new();
    }
    let flow = &opened.flow;
    let steps: Vec<&str> = flow.steps().collect();
    let steps = format!("{}: {}", show::counted(steps.len() as u64, "step"), steps.join(" → "));
    let mut text = format!("{}: the flow `{}` is right; {steps}", path.display(), flow.name());
    let outline = flow.outline();
    let asked = flow.asked().list();
    let wants = [("secrets", outline.secrets), ("models", outline.models), ("servers", outline.servers)];
    for (what, names) in [("it asks for", asked)].into_iter().chain(wants) {
        if !names.is_empty() {
            text.push_str(&format!("; {what} {}", names.join(", ")));
        }
    }
    if !outline.permissions.is_empty() {
        text.push_str(&format!("; to run it, give {}", outline.permissions.join(" ")));
    }
    text
}

fn as_json(path: &Path, opened: &Opened, right: bool) -> Value {
    let outline = opened.flow.outline();
    let warnings: Vec<Value> = warnings(opened).map(|warning| problem(&warning)).collect();
    json!({
        "file": path.display().to_string(), "ok": right, "flow": opened.flow.name(), "errors": [],
        "warnings": warnings, "asks_for": opened.flow.asked().list(), "permissions": outline.permissions,
        "secrets": outline.secrets, "models": outline.models, "servers": outline.servers,
    })
}

fn wrong_as_json(path: &Path, why: &NotOpened) -> Value {
    let errors: Vec<Value> = match why {
        NotOpened::Wrong(_, wrong) => wrong.iter().map(problem).collect(),
        NotOpened::Unread(error) => vec![json!({ "message": error.to_string(), "hint": error.hint() })],
    };
    json!({ "file": path.display().to_string(), "ok": false, "errors": errors, "warnings": [] })
}

fn problem(problem: &Diagnostic) -> Value {
    json!({
        "message": problem.message(), "hint": problem.hint(), "line": problem.line(), "column": problem.column(),
    })
}
