//! The command line and the environment, read.

use std::ffi::OsStr;

use clap::{Arg, CommandFactory, FromArgMatches};

use crate::args::Args;
use crate::exit::{Exit, Failure};

/// How clap ends its errors; the hint says more.
const ENDING: &str = "For more information, try '--help'.";

/// What the user asks for; `Err` with the exit code also if that is only help, which has been shown.
pub(crate) fn read() -> Result<Args, Result<Exit, Failure>> {
    let command = Args::command().mut_subcommands(|command| command.mut_args(without_empty_variable));
    let read = command.try_get_matches().and_then(|matches| Args::from_arg_matches(&matches));
    read.map_err(|error| {
        if error.use_stderr() {
            return Err(Failure::invalid(with_hint(&error.render().to_string())));
        }
        match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::output(error)),
            _ => Ok(Exit::Ok),
        }
    })
}

/// A variable that is set to nothing says nothing: it counts as not set.
fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if arg.get_env().is_some_and(is_empty) { arg.env(None::<&'static str>) } else { arg }
}

fn with_hint(text: &str) -> String {
    let text = text.trim_end();
    let text = text.strip_suffix(ENDING).unwrap_or(text).trim_end();
    format!("{text}\n\nhint: `llmspell --help` lists the commands, `llmspell help run` the options of a run")
}

/// The shape of the command is checked in tests instead of at every start.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Args::command().debug_assert();
        let command = Args::command().mut_subcommands(|command| command.mut_args(without_empty_variable));
        command.debug_assert();
    }
}
