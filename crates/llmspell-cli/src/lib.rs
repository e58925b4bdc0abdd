//! The `llmspell` command as a library, for programs that add their own tools to it.
//!
//! Flows can call the tools and steps of a [`Registry`], and the command `tools` lists them. The event subscribers of
//! the registry see every run.
//!
//! ```no_run
//! use llmspell::Result;
//! use llmspell::registry::{Extension, Registry};
//!
//! # struct Greetings;
//! # impl Extension for Greetings {
//! #     fn name(&self) -> &str { "greetings" }
//! #     fn register(&self, _: &mut Registry) -> Result<()> { Ok(()) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     llmspell_cli::main(|| Registry::new().with(Greetings))
//! }
//! ```

mod commands;
mod exit;
mod interrupt;
mod load;
mod options;
mod session;
mod templates;
mod ui;

use std::process::ExitCode;

use exit::CommandError;
use llmspell::registry::Registry;
use options::resolved::ResolvedOptions;
use ui::terminal;

/// Runs the command line with the built-in tools and those of the registry, and returns the exit code.
///
/// If the registry cannot be made, the exit code is 2. `--help` does not make it.
pub fn main(registry: impl FnOnce() -> llmspell::Result<Registry>) -> ExitCode {
    let end = match ResolvedOptions::read() {
        Ok((args, options)) => {
            registry().map_err(CommandError::from).and_then(|registry| commands::dispatch(args, options, &registry))
        }
        Err(end) => end,
    };
    match end {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.text.is_empty() {
                terminal::problem(&failure.text);
            }
            failure.exit.into()
        }
    }
}
