//! Options set in files: in the configuration, and some of them in a flow.
//!
//! The command line is the only table of options. `--keep-going` is `LLMSPELL_KEEP_GOING` in the environment and
//! `keep_going` in files, and one parser reads the value wherever it comes from. Files only supply defaults.

use std::ops::Range;

use clap::{Arg, ArgAction, Command};
use llmspell::internal::suggest;
use llmspell_flow::{Diagnostic, RunOption, Source};

/// Options of a single run, which files cannot set.
pub(crate) const SINGLE_RUN_OPTIONS: [&str; 14] = [
    "config",
    "errors",
    "explain",
    "files",
    "force",
    "format",
    "input",
    "json",
    "list",
    "only-failed",
    "output",
    "retry",
    "set",
    "template",
];

/// An option that a file sets.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The name on the command line, such as `keep-going`.
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    /// The name of the file.
    pub(crate) file: String,
    position: Position,
}

/// The position of a setting in its file.
#[derive(Clone, Debug)]
enum Position {
    Config(Source, Range<usize>),
    Flow(RunOption),
}

impl Setting {
    pub(crate) fn of_config(key: &str, values: Vec<String>, source: &Source, span: Range<usize>) -> Self {
        let (name, file) = (key.replace('_', "-"), source.name().to_owned());
        Setting { name, values, file, position: Position::Config(source.clone(), span) }
    }

    pub(crate) fn of_flow(option: &RunOption) -> Self {
        let (name, values) = (option.name.replace('_', "-"), vec![option.value.clone()]);
        Setting { name, values, file: option.source().to_owned(), position: Position::Flow(option.clone()) }
    }

    /// Returns its name in files.
    pub(crate) fn key(&self) -> String {
        key(&self.name)
    }

    /// Returns a problem at the position of the setting.
    pub(crate) fn diagnose(&self, message: String) -> Diagnostic {
        match &self.position {
            Position::Config(source, span) => source.diagnose(Some(span.clone()), message),
            Position::Flow(option) => option.diagnose(message),
        }
    }

    /// Checks that the option exists and that its value can be parsed.
    pub(crate) fn check(&self, all: &[Arg]) -> Result<(), Diagnostic> {
        let Some(arg) = all.iter().find(|arg| arg.get_long() == Some(&self.name)) else {
            let names: Vec<String> = all.iter().filter_map(Arg::get_long).map(key).collect();
            let hint = suggest::hint(&self.key(), names.iter().map(String::as_str), "the options are");
            return Err(self.diagnose(format!("unknown option `{}`", self.key())).with_hint(hint));
        };
        if self.values.len() > 1 && !matches!(arg.get_action(), ArgAction::Append) {
            let message = format!("`{}` takes one value, not a list", self.key());
            return Err(self.diagnose(message).with_hint(format!("write {} = …", self.key())));
        }
        let value = Arg::new("value").value_parser(arg.get_value_parser().clone()).num_args(0..);
        let parser = Command::new("config").no_binary_name(true).disable_help_flag(true);
        let parsed = parser.arg(value.allow_hyphen_values(true)).try_get_matches_from(&self.values);
        let Err(error) = parsed else { return Ok(()) };
        let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
        let choices = arg.get_possible_values();
        let choices: Vec<&str> = choices.iter().map(clap::builder::PossibleValue::get_name).collect();
        let hint = match choices.as_slice() {
            [] => format!("see --{} in `llmspell help run`", self.name),
            choices => format!("use one of: {}", choices.join(", ")),
        };
        let message = format!("invalid value `{}` for `{}`{why}", self.values.join(", "), self.key());
        Err(self.diagnose(message).with_hint(hint))
    }
}

/// Returns the name of an option in files.
pub(crate) fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns all options that files can set, each once.
pub(crate) fn all(command: &Command) -> Vec<Arg> {
    let mut all: Vec<Arg> = Vec::new();
    for arg in command.get_subcommands().flat_map(Command::get_arguments) {
        let is_known = |name: &str| all.iter().any(|arg| arg.get_long() == Some(name));
        let is_setting = |name: &&str| !SINGLE_RUN_OPTIONS.contains(name) && !["help", "version"].contains(name);
        if arg.get_long().filter(is_setting).is_some_and(|name| !is_known(name)) {
            all.push(arg.clone());
        }
    }
    all
}

/// Makes settings the defaults of a command. The first setting of an option wins.
pub(crate) fn with_defaults(command: Command, settings: &[Setting]) -> Command {
    let command = command.mut_args(|arg| {
        let name = arg.get_long().unwrap_or_default();
        match settings.iter().find(|setting| setting.name == name) {
            Some(setting) => arg.default_values(setting.values.clone()),
            None => arg,
        }
    });
    command.mut_subcommands(|command| with_defaults(command, settings))
}
