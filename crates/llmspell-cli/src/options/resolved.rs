//! The command line and the environment, parsed; files supply the options that both leave open.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use llmspell_flow::RunOption;

use crate::exit::{CommandError, Exit};
use crate::options::args::{self, Args, RunArgs};
use crate::options::config_file;
use crate::options::settings::{self, Setting};
use crate::ui::usage;

/// The words of the command line together with the settings of files.
pub(crate) struct ResolvedOptions {
    words: Vec<OsString>,
    /// The settings of files, the nearest file first.
    settings: Vec<Setting>,
}

/// The end of a command line that names no work. `Ok` means that help was asked for and printed.
pub(crate) type EarlyEnd = Result<Exit, CommandError>;

impl ResolvedOptions {
    /// Reads the command line, the environment and the configuration.
    pub(crate) fn read() -> Result<(Args, ResolvedOptions), EarlyEnd> {
        let words: Vec<OsString> = std::env::args_os().collect();
        let command = command();
        let matches = parse(command.clone(), &words)?;
        let mut options = ResolvedOptions { words, settings: Vec::new() };
        if !uses_settings(&command, &matches) {
            return Ok((to_args(&matches, &options.words)?, options));
        }
        options.settings = config_file::read(config_path(&matches)).map_err(Err)?;
        check(&options.settings).map_err(Err)?;
        Ok((options.args()?, options))
    }

    /// Adds the options that a flow sets. They rank below flags and variables, and above the configuration.
    pub(crate) fn with_flow(&mut self, options: &[RunOption]) -> Result<Args, CommandError> {
        let flow: Vec<Setting> = options.iter().map(Setting::of_flow).collect();
        check(&flow)?;
        self.settings.splice(0..0, flow);
        self.args().map_err(unexpected)
    }

    /// Returns the options of this run as words for a journal, whether flags, variables or files set them.
    ///
    /// # Errors
    /// If a word, such as a path, is not UTF-8. A journal is text, so the run could not be resumed.
    pub(crate) fn journal_words(&self) -> Result<Vec<String>, CommandError> {
        let text = |word: OsString| {
            word.into_string().map_err(|word| {
                let message = format!("error: {} is not UTF-8, so the run could not be resumed", word.display());
                CommandError::invalid(format!("{message}\n\nhint: rename the file, or run with --no-journal"))
            })
        };
        self.explicit_words()?.into_iter().map(text).collect()
    }

    /// Returns the words that repeat every option set explicitly. Left out are permissions, because a journal from
    /// another machine must not grant any, and the options that only choose what is printed.
    fn explicit_words(&self) -> Result<Vec<OsString>, CommandError> {
        let command = self.command();
        let matches = parse(command.clone(), &self.words).map_err(unexpected)?;
        let Some((name, matches)) = matches.subcommand() else { return Ok(Vec::new()) };
        let Some(command) = command.find_subcommand(name) else { return Ok(Vec::new()) };
        let mut words = Vec::new();
        for arg in command.get_arguments().filter(|arg| !NOT_RECORDED.contains(&arg.get_id().as_str())) {
            let id = arg.get_id().as_str();
            let long = arg.get_long().unwrap_or_default();
            let is_set = self.settings.iter().any(|setting| setting.name == long);
            match matches.value_source(id) {
                None => continue,
                Some(ValueSource::DefaultValue) if !is_set => continue,
                Some(_) => {}
            }
            for value in matches.get_raw(id).into_iter().flatten() {
                match arg.get_action() {
                    ArgAction::SetTrue if matches.get_flag(id) => words.push(format!("--{long}").into()),
                    ArgAction::SetTrue => {}
                    _ if arg.is_positional() => words.push(value.to_owned()),
                    _ => words.push(assignment(long, value)),
                }
            }
        }
        Ok(words)
    }

    /// Returns the options of a resumed run: those recorded in its journal, overridden by those given to `resume`.
    pub(crate) fn resumed(&self, recorded: Vec<String>) -> Result<(RunArgs, ResolvedOptions), CommandError> {
        let matches = parse(self.command(), &self.words).map_err(unexpected)?;
        let mut words: Vec<OsString> = vec!["llmspell".into(), "run".into()];
        words.extend(recorded.into_iter().map(OsString::from));
        words.extend(self.explicit_words()?);
        // The journal writes all earlier lines again, so what the run has left may be overwritten.
        words.push("--force".into());
        // Options that are not recorded take the values given now.
        if let Some((_, matches)) = matches.subcommand() {
            for id in ["allow", "progress", "report", "state", "journal_keep", "journal_max_size"] {
                let long = id.replace('_', "-");
                words.extend(matches.get_raw(id).into_iter().flatten().map(|value| assignment(&long, value)));
            }
            if matches.get_flag("quiet") {
                words.push("--quiet".into());
            }
        }
        let options = ResolvedOptions { words, settings: self.settings.clone() };
        match options.args().map_err(unexpected)?.command {
            args::Command::Run(args) => Ok((*args, options)),
            _ => Err(CommandError::invalid("error: the options in the journal are invalid\n\nhint: start a new run")),
        }
    }

    /// Returns each option that files can set, with its value for a run and the source of that value.
    pub(crate) fn effective(&self) -> Result<Vec<EffectiveOption>, CommandError> {
        let mut command = self.command();
        command.build();
        let mut options = Vec::new();
        for arg in settings::all(&self::command()) {
            let name = arg.get_long().unwrap_or_default();
            let find = |command: &Command| command.get_arguments().find(|arg| arg.get_long() == Some(name)).cloned();
            let Some(arg) = command.get_subcommands().find_map(find) else { continue };
            // Parsed alone, because the other arguments that the command requires are not given here.
            let alone = Command::new("config").no_binary_name(true).arg(arg.clone());
            let matches = alone
                .try_get_matches_from([""; 0])
                .map_err(|error| CommandError::invalid(usage::render(&error, &self.words)))?;
            let id = arg.get_id().as_str();
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
            let setting = self.settings.iter().find(|setting| setting.name == name);
            let source = match (matches.value_source(id), setting) {
                (Some(ValueSource::EnvVariable), _) => OptionSource::Variable(variable(name)),
                (Some(ValueSource::DefaultValue), Some(setting)) => OptionSource::File(setting.file.clone()),
                _ => OptionSource::Default,
            };
            options.push(EffectiveOption { key: settings::key(name), values, source });
        }
        Ok(options)
    }

    fn args(&self) -> Result<Args, EarlyEnd> {
        to_args(&parse(self.command(), &self.words)?, &self.words)
    }

    fn command(&self) -> Command {
        command().mut_subcommands(|command| settings::with_defaults(command, &self.settings))
    }
}

/// An option of a run with its current value.
pub(crate) struct EffectiveOption {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) source: OptionSource,
}

/// The source of an option's value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OptionSource {
    Default,
    File(String),
    Variable(String),
}

/// The options that a journal does not record.
const NOT_RECORDED: [&str; 14] = [
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

/// Returns the clap command that parses the command line.
pub(crate) fn command() -> Command {
    // The last value of an option wins, so that `resume` overrides what the journal has recorded.
    Args::command().mut_subcommands(with_overrides).mut_subcommand("run", |run| run.mut_args(without_retry_variable))
}

/// Takes `--only-failed` and `--retry` of `run` out of the environment. A variable meant for `resume` would otherwise
/// turn a new run into the continuation of the latest one.
fn without_retry_variable(arg: Arg) -> Arg {
    if ["only_failed", "retry"].contains(&arg.get_id().as_str()) { arg.env(None::<&'static str>) } else { arg }
}

fn with_overrides(command: Command) -> Command {
    command.args_override_self(true).mut_args(without_empty_variable).mut_subcommands(with_overrides)
}

/// Ignores a variable whose value is empty: it counts as not set.
fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if arg.get_env().is_some_and(is_empty) { arg.env(None::<&'static str>) } else { arg }
}

/// Returns the variable of an option.
fn variable(name: &str) -> String {
    format!("LLMSPELL_{}", settings::key(name).to_uppercase())
}

/// Returns the word `--long=value`.
fn assignment(long: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{long}="));
    word.push(value);
    word
}

/// Returns the value of `--config`, however deep its command is nested.
fn config_path(matches: &ArgMatches) -> Option<&Path> {
    let here = matches.try_get_one::<PathBuf>("config").ok().flatten().map(PathBuf::as_path);
    here.or_else(|| config_path(matches.subcommand()?.1))
}

/// Returns whether the command has an option that files can set.
fn uses_settings(command: &Command, matches: &ArgMatches) -> bool {
    let all = settings::all(command);
    let used = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
    used.is_some_and(|used| {
        let is_setting =
            |arg: &Arg| arg.get_long().is_some_and(|name| all.iter().any(|arg| arg.get_long() == Some(name)));
        used.get_name() == "config" || used.get_arguments().any(is_setting)
    })
}

fn check(settings: &[Setting]) -> Result<(), CommandError> {
    let all = settings::all(&command());
    settings.iter().try_for_each(|setting| setting.check(&all)).map_err(CommandError::invalid)
}

fn parse(command: Command, words: &[OsString]) -> Result<ArgMatches, EarlyEnd> {
    command.try_get_matches_from(words).map_err(|error| early_end(&error, words))
}

fn to_args(matches: &ArgMatches, words: &[OsString]) -> Result<Args, EarlyEnd> {
    Args::from_arg_matches(matches).map_err(|error| early_end(&error, words))
}

/// Prints help or a version; turns any other result of clap into a failure.
fn early_end(error: &clap::Error, words: &[OsString]) -> EarlyEnd {
    if error.use_stderr() {
        return Err(CommandError::invalid(usage::render(error, words)));
    }
    match error.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::output(error)),
        _ => Ok(Exit::Ok),
    }
}

/// Returns the failure of words that were parsed successfully before, so this cannot happen.
fn unexpected(end: EarlyEnd) -> CommandError {
    match end {
        Err(failure) => failure,
        Ok(_) => {
            CommandError::invalid("error: the command line asks for help and for a run\n\nhint: ask for one of them")
        }
    }
}

/// Clap checks the shape of the command in these tests instead of at every start.
#[cfg(test)]
mod tests {
    use super::*;
    use llmspell_flow::RUN_OPTIONS;

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
        for name in settings::SINGLE_RUN_OPTIONS {
            assert!(longs.contains(&name), "{name}");
        }
    }
}
