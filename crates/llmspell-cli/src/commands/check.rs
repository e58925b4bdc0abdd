//! `llmspell check`: the problems of flow files, what the flows need, and the rules of the checker.

use std::path::Path;

use llmspell::internal::suggest;
use llmspell::registry::Registry;
use llmspell_flow::LINT_RULES;
use tokio::runtime::Runtime;

use crate::exit::{CommandError, Exit};
use crate::interrupt::Interrupts;
use crate::load::{self, LoadFailure, LoadedFlow, ReadyFlow};
use crate::options::allow;
use crate::options::args::CheckArgs;
use crate::ui::{check, terminal};

/// Checks each file and prints the result, or explains a rule. The exit code tells whether all files are valid.
pub(super) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, CommandError> {
    if let Some(id) = &args.explain {
        return explain(id, args.json);
    }
    let toolbox = allow::toolbox(&args.allow, registry)?;
    // All files are read before signals are taken over: reading waits for a pipe without a writer, and only a signal
    // that still ends the process can end that wait.
    let loaded: Vec<_> =
        args.flows.iter().map(|path| (path, LoadedFlow::read(path, toolbox.clone(), registry))).collect();
    let mut connector = if args.connect { Some(Connector::new()?) } else { None };
    let mut exit = Exit::Ok;
    for (path, loaded) in loaded {
        let ready = loaded.and_then(|loaded| match &mut connector {
            None => Ok(loaded.inspect()),
            Some(Connector { runtime, interrupts }) => loaded.connect(runtime, interrupts),
        });
        match ready {
            Ok(ready) => {
                if !print_valid(path, &ready, args)? {
                    exit = Exit::Invalid;
                }
                if let Some(interrupted) = connector.as_mut().and_then(|connector| connector.close(ready)) {
                    return Ok(interrupted);
                }
            }
            Err(LoadFailure::Interrupted(exit)) => return Ok(exit),
            Err(failure) => exit = print_invalid(path, failure, args.json)?,
        }
    }
    Ok(exit)
}

/// Prints the explanation of a lint rule.
fn explain(id: &str, as_json: bool) -> Result<Exit, CommandError> {
    let Some(rule) = LINT_RULES.iter().find(|rule| rule.id == id) else {
        let hint = suggest::hint(id, LINT_RULES.iter().map(|rule| rule.id), "the rules are");
        return Err(CommandError::invalid(format!("error: unknown rule `{id}`\n\nhint: {hint}")));
    };
    terminal::data(&if as_json { check::rule_object(rule).to_string() } else { check::rule(rule) })?;
    Ok(Exit::Ok)
}

/// The runtime and the signals that connecting servers needs.
struct Connector {
    runtime: Runtime,
    interrupts: Interrupts,
}

impl Connector {
    fn new() -> Result<Self, CommandError> {
        let runtime = load::runtime()?;
        let interrupts = Interrupts::listen(&runtime)?;
        Ok(Connector { runtime, interrupts })
    }

    /// Closes the servers of a flow. Returns the exit code of a signal that ended the wait.
    fn close(&mut self, ready: ReadyFlow) -> Option<Exit> {
        ready.servers.end(&self.runtime, &mut self.interrupts)
    }
}

/// Prints a flow without errors, and its warnings. Returns whether it passes.
fn print_valid(path: &Path, ready: &ReadyFlow, args: &CheckArgs) -> Result<bool, CommandError> {
    let passes = !args.strict || check::warnings(ready).next().is_none();
    if args.json {
        terminal::data(&check::object(path, ready, passes).to_string())?;
        return Ok(passes);
    }
    check::warnings(ready).for_each(|warning| terminal::problem(&warning.to_string()));
    if passes {
        terminal::data(&check::line(path, ready))?;
    }
    Ok(passes)
}

/// Prints why a flow is invalid. Returns the exit code.
fn print_invalid(path: &Path, failure: LoadFailure, as_json: bool) -> Result<Exit, CommandError> {
    if as_json {
        terminal::data(&check::failure_object(path, &failure).to_string())?;
    }
    let failure = CommandError::from(failure);
    if !as_json {
        terminal::problem(&failure.text);
    }
    Ok(failure.exit)
}
