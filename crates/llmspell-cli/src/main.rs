//! The `llmspell` command: runs flows over files of records.

mod allow;
mod args;
mod check;
mod exit;
mod help;
mod interrupt;
mod line;
mod meter;
mod report;
mod run;
mod show;
mod tools;

use std::process::ExitCode;

use args::{Args, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let ended = match line::read() {
        Ok(args) => follow(args),
        Err(ended) => ended,
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            show::problem(&failure.text);
            failure.exit.into()
        }
    }
}

fn follow(args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Tools(args) => tools::tools(&args),
        Command::Help(args) => help::help(&args),
    }
}
