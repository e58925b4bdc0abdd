//! The commands, one file each.
//!
//! A command turns its arguments into text on standard output, or into a session. It must not import another command;
//! the [session](crate::session) holds what they share about runs.

mod check;
mod completions;
mod config;
mod demo;
mod help;
mod init;
mod plan;
mod report;
mod resume;
mod run;
mod runs;
mod schema;
mod tools;

use llmspell::registry::Registry;

use crate::exit::{CommandError, Exit};
use crate::options::args::{Args, Command, Progress};
use crate::options::resolved::ResolvedOptions;
use crate::ui::terminal;

/// Runs the command that the command line names.
pub(crate) fn dispatch(args: Args, options: ResolvedOptions, registry: &Registry) -> Result<Exit, CommandError> {
    let show = match &args.command {
        Command::Run(args) => Some(&args.show),
        Command::Resume(args) => Some(&args.show),
        _ => None,
    };
    terminal::set_json_errors(show.is_some_and(|show| show.progress() == Progress::Json));
    match args.command {
        Command::Run(args) => run::run(*args, options, registry),
        Command::Resume(args) => resume::resume(&args, &options, registry),
        Command::Runs(args) => runs::runs(&args),
        Command::Report(args) => report::report(&args),
        Command::Init(args) => init::init(&args),
        Command::Demo => demo::demo(registry),
        Command::Schema => schema::schema(),
        Command::Completions(args) => completions::completions(&args),
        Command::Config(args) => config::config(&args, &options),
        Command::Check(args) => check::check(&args, registry),
        Command::Plan(args) => plan::plan(&args, registry),
        Command::Tools(args) => tools::tools(&args, registry),
        Command::Help(args) => help::help(&args),
    }
}
