//! How the program ends.

use std::process::ExitCode;

/// The exit codes; `llmspell help exit-codes` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Bug = 1,
    Invalid = 2,
    RecordsFailed = 3,
    /// By the user, or by whoever the run talks to.
    NotAllowed = 4,
    Degraded = 5,
    Deadline = 124,
    HungUp = 129,
    Interrupted = 130,
    Quit = 131,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not do its work: what is shown, unless it was said already, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Failure {
    /// What the user gave cannot be used.
    pub(crate) fn invalid(text: impl ToString) -> Self {
        Failure { exit: Exit::Invalid, text: text.to_string() }
    }

    /// Standard output cannot be written, for another reason than that nobody reads it.
    pub(crate) fn output(error: std::io::Error) -> Self {
        Failure::invalid(format!("error: cannot write to standard output: {error}\n\nhint: is the disk full?"))
    }
}

/// An error of the library, in the form in which all errors are shown.
impl From<llmspell::Error> for Failure {
    fn from(error: llmspell::Error) -> Self {
        Failure::invalid(format!("error: {}", story(&error)))
    }
}

/// The error with its hint apart.
pub(crate) fn story(error: &llmspell::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}\n\nhint: {hint}"),
        None => error.to_string(),
    }
}
