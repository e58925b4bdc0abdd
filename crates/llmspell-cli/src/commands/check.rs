//! `llmspell check`: what is wrong with flow files, and what they want.

use std::path::Path;

use llmspell::Registry;
use llmspell_flow::Diagnostic;
use serde_json::{Value, json};

use crate::commands::run;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::load::{self, NotOpened, Opened};
use crate::options::allow;
use crate::options::args::CheckArgs;
use crate::ui::show;

/// Checks each file and says so; the exit code tells whether all are right.
pub(crate) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    // All are read before anybody listens to signals: a pipe that nobody writes to is waited for here.
    let read: Vec<_> = args.flows.iter().map(|path| (path, load::Read::new(path, toolbox.clone(), registry))).collect();
    let mut connecting = match args.connect {
        true => {
            let runtime = run::runtime()?;
            let interrupts = Interrupts::on(&runtime)?;
            Some((runtime, interrupts))
        }
        false => None,
    };
    let mut exit = Exit::Ok;
    for (path, read) in read {
        let opened = read.and_then(|read| match &mut connecting {
            None => Ok(read.into_look()),
            Some((runtime, interrupts)) => read.connected(runtime, interrupts),
        });
        let text = match &opened {
            Ok(opened) => {
                let right = !args.strict || warnings(opened).next().is_none();
                if !right {
                    exit = Exit::Invalid;
                }
                if args.json { as_json(path, opened, right).to_string() } else { told(path, opened, right) }
            }
            Err(NotOpened::Interrupted(exit)) => return Ok(*exit),
            Err(why) => {
                exit = match why {
                    NotOpened::Wrong(exit, _) => *exit,
                    _ => Exit::Invalid,
                };
                if args.json { wrong_as_json(path, why).to_string() } else { String::new() }
            }
        };
        if !text.is_empty() {
            show::data(&text).map_err(Failure::output)?;
        }
        match (opened, &mut connecting) {
            (Ok(opened), Some((runtime, interrupts))) => {
                if let Some(interrupted) = opened.servers.end(runtime, interrupts) {
                    return Ok(interrupted);
                }
            }
            (Err(why), _) if !args.json => show::problem(&Failure::from(why).text),
            _ => {}
        }
    }
    Ok(exit)
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
        NotOpened::Interrupted(_) => Vec::new(),
    };
    json!({ "file": path.display().to_string(), "ok": false, "errors": errors, "warnings": [] })
}

fn problem(problem: &Diagnostic) -> Value {
    json!({
        "message": problem.message(), "hint": problem.hint(), "line": problem.line(), "column": problem.column(),
    })
}
