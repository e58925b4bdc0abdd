//! Options that can be said once for many runs: in the configuration, and some of them in a flow.
//!
//! There is one table of options, and it is the command line: what is called `--keep-going` there is
//! `LLMSPELL_KEEP_GOING` in the environment and `keep_going` in files, and its value is read by the same parser
//! wherever it comes from. Files only supply defaults.

use clap::{Arg, ArgAction, Command};
use llmspell::suggest;
use llmspell_flow::{Diagnostic, RunOption, Source};

/// Options of one run alone.
pub(crate) const OF_ONE_RUN: [&str; 13] = [
    "config",
    "errors",
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
    /// As the command line has it, such as `keep-going`.
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    pub(crate) from: Origin,
    at: At,
}

/// Who sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flow(String),
    /// A `llmspell.toml`, or what `--config` names.
    Project(String),
    User(String),
}

impl Origin {
    /// The name of the file.
    pub(crate) fn file(&self) -> &str {
        match self {
            Origin::Flow(file) | Origin::Project(file) | Origin::User(file) => file,
        }
    }
}

/// Where it stands.
#[derive(Clone, Debug)]
enum At {
    Config(Source, std::ops::Range<usize>),
    Flow(RunOption),
}

impl Setting {
    pub(crate) fn of_config(
        key: &str,
        values: Vec<String>,
        from: Origin,
        source: &Source,
        at: std::ops::Range<usize>,
    ) -> Self {
        Setting { name: key.replace('_', "-"), values, from, at: At::Config(source.clone(), at) }
    }

    pub(crate) fn of_flow(option: &RunOption) -> Self {
        let (name, values) = (option.name.replace('_', "-"), vec![option.value.clone()]);
        Setting { name, values, from: Origin::Flow(option.source().to_owned()), at: At::Flow(option.clone()) }
    }

    /// Its name in files.
    pub(crate) fn key(&self) -> String {
        key(&self.name)
    }

    /// A problem with it.
    pub(crate) fn diagnose(&self, message: String) -> Diagnostic {
        match &self.at {
            At::Config(source, at) => source.diagnose(Some(at.clone()), message),
            At::Flow(option) => option.diagnose(message),
        }
    }

    /// Whether there is such an option, and its value can be read.
    pub(crate) fn check(&self, all: &[Arg]) -> Result<(), Diagnostic> {
        let Some(arg) = all.iter().find(|arg| arg.get_long() == Some(&self.name)) else {
            let names: Vec<String> = all.iter().filter_map(Arg::get_long).map(key).collect();
            let hint = suggest::hint(&self.key(), names.iter().map(String::as_str), "the options are");
            return Err(self.diagnose(format!("unknown option `{}`", self.key())).with_hint(hint));
        };
        let many = arg.get_action();
        if self.values.len() > 1 && !matches!(many, ArgAction::Append) {
            let message = format!("`{}` takes one value, not a list", self.key());
            return Err(self.diagnose(message).with_hint(format!("write {} = …", self.key())));
        }
        let value = Arg::new("value").value_parser(arg.get_value_parser().clone()).num_args(0..);
        let read = Command::new("config").no_binary_name(true).disable_help_flag(true);
        let read = read.arg(value.allow_hyphen_values(true)).try_get_matches_from(&self.values);
        let Err(error) = read else { return Ok(()) };
        let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
        let words = arg.get_possible_values();
        let words: Vec<&str> = words.iter().map(clap::builder::PossibleValue::get_name).collect();
        let hint = match words.as_slice() {
            [] => format!("`llmspell help config` lists the options, `llmspell help run` describes --{}", self.name),
            words => format!("it is one of: {}", words.join(", ")),
        };
        let message = format!("`{}` cannot be `{}`{why}", self.key(), self.values.join(", "));
        Err(self.diagnose(message).with_hint(hint))
    }
}

/// The name of an option in files.
pub(crate) fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// All options that files can set, each once.
pub(crate) fn all(command: &Command) -> Vec<Arg> {
    let mut all: Vec<Arg> = Vec::new();
    for arg in command.get_subcommands().flat_map(Command::get_arguments) {
        let is_known = |name: &str| all.iter().any(|arg| arg.get_long() == Some(name));
        let is_own = |name: &&str| !OF_ONE_RUN.contains(name) && !["help", "version"].contains(name);
        if arg.get_long().filter(is_own).is_some_and(|name| !is_known(name)) {
            all.push(arg.clone());
        }
    }
    all
}

/// Makes settings the defaults of a command; the first that sets an option wins.
pub(crate) fn layered(command: Command, settings: &[Setting]) -> Command {
    let command = command.mut_args(|arg| {
        let name = arg.get_long().unwrap_or_default();
        match settings.iter().find(|setting| setting.name == name) {
            Some(setting) => arg.default_values(setting.values.clone()),
            None => arg,
        }
    });
    command.mut_subcommands(|command| layered(command, settings))
}
