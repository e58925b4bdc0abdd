//! The `llmspell` command: runs flows over files of records.

mod allow;
mod args;
mod check;
mod exit;
mod help;
mod interrupt;
mod meter;
mod report;
mod run;
mod show;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Tools(args) => tools::tools(&args),
        Command::Help(args) => help::help(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            show::problem(&failure.text);
            failure.exit.into()
        }
    }
}
