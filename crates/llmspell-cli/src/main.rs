//! The `llmspell` command: runs flows over files of records.

use std::process::ExitCode;

use llmspell::registry::Registry;

fn main() -> ExitCode {
    llmspell_cli::main(|| Ok(Registry::new()))
}
