//! Exit codes, and the error that ends a command.

use std::process::ExitCode;

/// The exit codes; `llmspell help exit-codes` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Bug = 1,
    Invalid = 2,
    RecordsFailed = 3,
    /// Not allowed by the user, or denied by a server.
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

/// The error of a command that could not do its work: an exit code and the text to print.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) exit: Exit,
    /// Empty if the problem was printed before.
    pub(crate) text: String,
}

impl CommandError {
    /// Returns the failure of an invalid command line, file or option.
    pub(crate) fn invalid(text: impl ToString) -> Self {
        CommandError { exit: Exit::Invalid, text: text.to_string() }
    }

    /// Returns the failure of something that cannot fail unless llmspell or the system is broken.
    pub(crate) fn bug(message: &str) -> Self {
        CommandError { exit: Exit::Bug, text: format!("error: {message}\n\nhint: report this bug of llmspell") }
    }

    /// Returns the failure of a write to standard output that did not fail because the reader closed it.
    pub(crate) fn output(error: std::io::Error) -> Self {
        let hint = "check that the disk is not full";
        CommandError::invalid(format!("error: cannot write to standard output: {error}\n\nhint: {hint}"))
    }
}

impl From<llmspell::Error> for CommandError {
    fn from(error: llmspell::Error) -> Self {
        CommandError::invalid(format!("error: {}", render_error(&error)))
    }
}

/// Returns the message of the error, and its hint in a paragraph of its own.
pub(crate) fn render_error(error: &llmspell::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}\n\nhint: {hint}"),
        None => error.to_string(),
    }
}
