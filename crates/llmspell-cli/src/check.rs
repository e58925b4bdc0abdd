//! `llmspell check`: what is wrong with flow files.

use std::path::Path;

use llmspell::Registry;
use llmspell_flow::Toolbox;
use tokio::runtime::Runtime;

use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::open::{self, Opened};
use crate::{allow, run, show};

/// Checks each file and says so; the exit code tells whether all are right.
pub(crate) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let runtime = args.connect.then(run::runtime).transpose()?;
    let mut exit = Exit::Ok;
    for path in &args.flows {
        match open(path, toolbox.clone(), registry, runtime.as_ref()) {
            Ok(opened) => {
                show::data(&found(path, &opened)).map_err(Failure::output)?;
                if let Some(runtime) = &runtime {
                    runtime.block_on(opened.servers.close());
                }
            }
            Err(failure) => {
                show::problem(&failure.text);
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

fn open(path: &Path, toolbox: Toolbox, registry: &Registry, runtime: Option<&Runtime>) -> Result<Opened, Failure> {
    match runtime {
        None => open::to_look(path, toolbox, registry),
        Some(runtime) => open::to_look_closely(path, toolbox, registry, runtime),
    }
}

/// What there is to say of a flow that is right.
fn found(path: &Path, Opened { flow, unset, .. }: &Opened) -> String {
    for warning in flow.warnings() {
        show::problem(&warning.to_string());
    }
    for key in unset {
        show::problem(&key.clone().warning().to_string());
    }
    let steps: Vec<&str> = flow.steps().collect();
    let steps = format!("{}: {}", show::counted(steps.len() as u64, "step"), steps.join(" → "));
    let mut text = format!("{}: the flow `{}` is right; {steps}", path.display(), flow.name());
    let asked = flow.asked().list();
    if !asked.is_empty() {
        text = format!("{text}; it asks for {}", asked.join(", "));
    }
    if let Err(refused) = flow.permitted() {
        let mut flags: Vec<&str> =
            refused.iter().filter_map(|problem| problem.hint()?.strip_prefix("allow it with ")).collect();
        flags.sort_unstable();
        flags.dedup();
        if !flags.is_empty() {
            text = format!("{text}; to run it, give {}", flags.join(" "));
        }
    }
    text
}
