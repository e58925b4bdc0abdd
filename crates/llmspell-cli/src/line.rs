//! The command line and the environment, read; files supply what they leave open.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use llmspell_flow::RunOption;

use crate::args::{Args, RunArgs};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::settings::{self, Setting};
use crate::usage;

/// What the user has said, in all places.
pub(crate) struct Line {
    words: Vec<OsString>,
    /// What files set, the nearest first.
    settings: Vec<Setting>,
}

/// Why there is nothing to do; `Ok` if that was only help, which has been shown.
pub(crate) type Ended = Result<Exit, Failure>;

impl Line {
    /// Reads it all; says also what the user asks for.
    pub(crate) fn read() -> Result<(Args, Line), Ended> {
        let words: Vec<OsString> = std::env::args_os().collect();
        let command = command();
        let matches = parse(command.clone(), &words)?;
        let mut line = Line { words, settings: Vec::new() };
        if !takes_settings(&command, &matches) {
            return Ok((args(&matches, &line.words)?, line));
        }
        line.settings = config::read(named(&matches)).map_err(Err)?;
        line.check(&line.settings).map_err(Err)?;
        Ok((line.args()?, line))
    }

    /// The same with what a flow sets; it counts less than flags and variables, and more than the configuration.
    pub(crate) fn with_flow(&mut self, options: &[RunOption]) -> Result<Args, Failure> {
        let flow: Vec<Setting> = options.iter().map(Setting::of_flow).collect();
        self.check(&flow)?;
        self.settings.splice(0..0, flow);
        self.args().map_err(unexpected)
    }

    /// What was said of this run, in words that say it again: by flags, variables and files. Not what it may do: a
    /// journal from elsewhere must not grant anything; nor what is shown of it.
    fn spoken(&self) -> Result<Vec<OsString>, Failure> {
        let command = self.command();
        let matches = parse(command.clone(), &self.words).map_err(unexpected)?;
        let Some((name, matches)) = matches.subcommand() else { return Ok(Vec::new()) };
        let Some(command) = command.find_subcommand(name) else { return Ok(Vec::new()) };
        let mut words = Vec::new();
        for arg in command.get_arguments().filter(|arg| !UNSPOKEN.contains(&arg.get_id().as_str())) {
            let id = arg.get_id().as_str();
            let long = arg.get_long().unwrap_or_default();
            let is_set = self.settings.iter().any(|setting| setting.name == long);
            match matches.value_source(id) {
                None => continue,
                Some(ValueSource::DefaultValue) if !is_set => continue,
                Some(_) => {}
            }
            let values: Vec<_> = matches.get_raw(id).into_iter().flatten().collect();
            for value in values {
                match arg.get_action() {
                    ArgAction::SetTrue if matches.get_flag(id) => words.push(format!("--{long}").into()),
                    ArgAction::SetTrue => {}
                    _ if arg.is_positional() => words.push(value.to_owned()),
                    _ => {
                        let mut word = OsString::from(format!("--{long}="));
                        word.push(value);
                        words.push(word);
                    }
                }
            }
        }
        Ok(words)
    }

    /// The same as it is noted in a journal, which is text.
    ///
    /// # Errors
    /// If a word is none, such as the path of a file: the run could not be resumed.
    pub(crate) fn noted(&self) -> Result<Vec<String>, Failure> {
        let text = |word: OsString| {
            word.into_string().map_err(|word| {
                let message = format!("error: {} is not UTF-8: a run with it could not be resumed", word.display());
                Failure::invalid(format!("{message}\n\nhint: rename the file, or run with --no-journal"))
            })
        };
        self.spoken()?.into_iter().map(text).collect()
    }

    /// The line of a run that goes on: what was said of it then, and what is said with `resume`.
    pub(crate) fn resumed(&self, then: Vec<String>) -> Result<(RunArgs, Line), Failure> {
        let command = self.command();
        let matches = parse(command, &self.words).map_err(unexpected)?;
        let mut words: Vec<OsString> = vec!["llmspell".into(), "run".into()];
        words.extend(then.into_iter().map(OsString::from));
        words.extend(self.spoken()?);
        // What it has written so far is written again, from its journal.
        words.push("--force".into());
        // What is not noted, but said now.
        if let Some((_, matches)) = matches.subcommand() {
            for id in ["allow", "progress", "report", "state", "journal_keep", "journal_max_size"] {
                let long = id.replace('_', "-");
                for value in matches.get_raw(id).into_iter().flatten() {
                    let mut word = OsString::from(format!("--{long}="));
                    word.push(value);
                    words.push(word);
                }
            }
            words.extend(["quiet"].iter().filter(|id| matches.get_flag(id)).map(|id| format!("--{id}").into()));
        }
        let line = Line { words, settings: self.settings.clone() };
        match line.args().map_err(unexpected)?.command {
            crate::args::Command::Run(args) => Ok((*args, line)),
            _ => Err(Failure::invalid("error: what was noted of the run is no run\n\nhint: start it anew")),
        }
    }

    fn args(&self) -> Result<Args, Ended> {
        args(&parse(self.command(), &self.words)?, &self.words)
    }

    fn command(&self) -> Command {
        command().mut_subcommands(|command| settings::layered(command, &self.settings))
    }

    fn check(&self, some: &[Setting]) -> Result<(), Failure> {
        let all = settings::all(&command());
        some.iter().try_for_each(|setting| setting.check(&all)).map_err(Failure::invalid)
    }

    /// What each option is for a run, and who says so.
    pub(crate) fn effective(&self) -> Result<Vec<Effective>, Failure> {
        let (mut command, all) = (self.command(), settings::all(&command()));
        command.build();
        let mut out = Vec::new();
        for arg in all {
            let name = arg.get_long().unwrap_or_default().to_owned();
            let has = |command: &&Command| command.get_arguments().any(|arg| arg.get_long() == Some(&name));
            let Some(of) = command.get_subcommands().find(has) else { continue };
            // What else the command needs does not matter here.
            let lax = of.get_arguments().find(|arg| arg.get_long() == Some(&name)).cloned();
            let Some(arg) = lax else { continue };
            let alone = Command::new("config").no_binary_name(true).arg(arg.clone());
            let matches = alone
                .try_get_matches_from([""; 0])
                .map_err(|error| Failure::invalid(usage::told(&error, &self.words)))?;
            let id = arg.get_id().as_str();
            let values = matches.get_raw(id).into_iter().flatten();
            let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
            let setting = self.settings.iter().find(|setting| setting.name == name);
            let from = match (matches.value_source(id), setting) {
                (Some(ValueSource::EnvVariable), _) => From::Variable(variable(&name)),
                (Some(ValueSource::DefaultValue), Some(setting)) => From::File(setting.from.file().to_owned()),
                _ => From::Default,
            };
            out.push(Effective { key: settings::key(&name), values, from });
        }
        Ok(out)
    }
}

/// What is not noted of a run.
const UNSPOKEN: [&str; 14] = [
    "allow",
    "config",
    "force",
    "journal_keep",
    "journal_max_size",
    "no_journal",
    "only_failed",
    "progress",
    "quiet",
    "report",
    "retry",
    "run",
    "state",
    "help",
];

/// An end that cannot be, for the same words have been read before.
fn unexpected(ended: Ended) -> Failure {
    match ended {
        Err(failure) => failure,
        Ok(_) => Failure::invalid("error: the command line asks for help, and for a run\n\nhint: ask for one of them"),
    }
}

/// An option as it stands.
pub(crate) struct Effective {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) from: From,
}

/// Who says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum From {
    Default,
    File(String),
    Variable(String),
}

/// The twin of an option in the environment.
fn variable(name: &str) -> String {
    format!("LLMSPELL_{}", settings::key(name).to_uppercase())
}

pub(crate) fn command() -> Command {
    // The last word counts, so that what is said when a run is resumed counts more than what was said then.
    Args::command().mut_subcommands(as_spoken).mut_subcommand("run", |run| run.mut_args(said_each_time))
}

/// That a run is the earlier one must be said for each: a variable that is meant for `resume` would take the latest run
/// over where a new one is begun.
fn said_each_time(arg: Arg) -> Arg {
    if ["only_failed", "retry"].contains(&arg.get_id().as_str()) { arg.env(None::<&'static str>) } else { arg }
}

fn as_spoken(command: Command) -> Command {
    command.args_override_self(true).mut_args(without_empty_variable).mut_subcommands(as_spoken)
}

/// What `--config` names, however deep the command.
fn named(matches: &ArgMatches) -> Option<&Path> {
    let here = matches.try_get_one::<PathBuf>("config").ok().flatten().map(PathBuf::as_path);
    here.or_else(|| named(matches.subcommand()?.1))
}

fn takes_settings(command: &Command, matches: &ArgMatches) -> bool {
    let all = settings::all(command);
    let used = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
    used.is_some_and(|used| {
        let is_setting =
            |arg: &Arg| arg.get_long().is_some_and(|name| all.iter().any(|arg| arg.get_long() == Some(name)));
        used.get_name() == "config" || used.get_arguments().any(is_setting)
    })
}

fn parse(command: Command, words: &[OsString]) -> Result<ArgMatches, Ended> {
    command.try_get_matches_from(words).map_err(|error| told(&error, words))
}

fn args(matches: &ArgMatches, words: &[OsString]) -> Result<Args, Ended> {
    Args::from_arg_matches(matches).map_err(|error| told(&error, words))
}

fn told(error: &clap::Error, words: &[OsString]) -> Ended {
    if error.use_stderr() {
        return Err(Failure::invalid(usage::told(error, words)));
    }
    match error.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::output(error)),
        _ => Ok(Exit::Ok),
    }
}

/// A variable that is set to nothing says nothing: it counts as not set.
fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if arg.get_env().is_some_and(is_empty) { arg.env(None::<&'static str>) } else { arg }
}

/// The shape of the command is checked in tests instead of at every start.
#[cfg(test)]
mod tests {
    use llmspell_flow::RUN_OPTIONS;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Args::command().debug_assert();
        command().debug_assert();
    }

    #[test]
    fn every_option_has_one_name_everywhere() {
        let command = Args::command();
        for arg in command.get_subcommands().flat_map(Command::get_arguments) {
            let Some(name) = arg.get_long() else { continue };
            assert_eq!(arg.get_env(), Some(OsStr::new(&variable(name))), "--{name}");
        }
        let all: Vec<String> = settings::all(&command).iter().filter_map(Arg::get_long).map(settings::key).collect();
        for name in RUN_OPTIONS {
            assert!(all.iter().any(|one| one == name), "{name}");
        }
        let longs: Vec<&str> =
            command.get_subcommands().flat_map(Command::get_arguments).filter_map(Arg::get_long).collect();
        for name in settings::OF_ONE_RUN {
            assert!(longs.contains(&name), "{name}");
        }
    }
}
