//! The `llmspell` command as a library, for a command of your own that has more tools.
//!
//! The tools and steps of a [`Registry`] can be called in flow files and are listed by `tools`; its readers of events
//! see every run.
//!
//! ```no_run
//! use llmspell::{Extension, Registry, Result};
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
mod ui;

use std::process::ExitCode;

use commands::{check, completions, config, help, init, plan, resume, run, runs, tools};
use exit::{Exit, Failure};
use llmspell::Registry;
use options::args::{Args, Command, Progress};
use options::resolved::Line;
use ui::show;

/// Does what the command line asks for, with the tools of the registry besides the built-in ones. A registry that
/// cannot be had is an error like wrong usage (exit code 2); `--help` does not ask for it.
pub fn main(registry: impl FnOnce() -> llmspell::Result<Registry>) -> ExitCode {
    let ended = match Line::read() {
        Ok((args, line)) => registry().map_err(Failure::from).and_then(|registry| follow(args, line, &registry)),
        Err(ended) => ended,
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // What was told already is not told again.
            if !failure.text.is_empty() {
                show::problem(&failure.text);
            }
            failure.exit.into()
        }
    }
}

fn follow(args: Args, line: Line, registry: &Registry) -> Result<Exit, Failure> {
    let shown = match &args.command {
        Command::Run(args) => Some(&args.show),
        Command::Resume(args) => Some(&args.show),
        _ => None,
    };
    show::speak_json(shown.is_some_and(|shown| shown.progress == Progress::Json && !shown.quiet));
    match args.command {
        Command::Run(args) => run::run(*args, line, registry),
        Command::Resume(args) => resume::resume(&args, &line, registry),
        Command::Runs(args) => runs::runs(&args),
        Command::Report(args) => runs::report(&args),
        Command::Init(args) => init::init(&args),
        Command::Demo => init::demo(registry),
        Command::Schema => help::schema(),
        Command::Completions(args) => completions::completions(&args),
        Command::Config(args) => config::config(&args, &line),
        Command::Check(args) => check::check(&args, registry),
        Command::Plan(args) => plan::plan(&args, registry),
        Command::Tools(args) => tools::tools(&args, registry),
        Command::Help(args) => help::help(&args),
    }
}
