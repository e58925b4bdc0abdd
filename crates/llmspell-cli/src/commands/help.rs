//! `llmspell help`: the help of commands and of topics.

use clap::CommandFactory;

use crate::exit::{CommandError, Exit};
use crate::options::args::{Args, HelpArgs};
use crate::options::{resolved, settings};
use crate::ui::terminal;
use crate::ui::text::wrap;

const EXIT_CODES: &str = include_str!("help/exit-codes.txt");
const OUTPUT: &str = include_str!("help/output.txt");
const PROGRESS: &str = include_str!("help/progress.txt");
const FLOW: &str = include_str!("help/flow.txt");
const CONFIG: &str = include_str!("help/config.txt");

const TOPICS: [&str; 5] = ["exit-codes", "output", "progress", "flow", "config"];

/// Prints a topic, or the help of a command.
pub(super) fn help(args: &HelpArgs) -> Result<Exit, CommandError> {
    let mut command = resolved::command();
    command.build();
    let text = match args.topic.as_deref() {
        None => command.render_help().to_string(),
        Some("exit-codes") => EXIT_CODES.to_owned(),
        Some("output") => OUTPUT.to_owned(),
        Some("flow" | "flows") => FLOW.to_owned(),
        Some("config" | "configuration") => config(),
        Some("progress") => PROGRESS.to_owned(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(command) => command.render_long_help().to_string(),
            None => {
                let commands = command.get_subcommands().map(clap::Command::get_name);
                let topics: Vec<&str> = TOPICS.into_iter().chain(commands).collect();
                let hint = llmspell::internal::suggest::hint(topic, topics.iter().copied(), "the topics are");
                return Err(CommandError::invalid(format!("error: no help on `{topic}`\n\nhint: {hint}")));
            }
        },
    };
    terminal::data(text.trim_end())?;
    Ok(Exit::Ok)
}

/// Returns the topic `config`, with the names of all options.
fn config() -> String {
    let all = settings::all(&Args::command());
    let names: Vec<String> = all.iter().filter_map(clap::Arg::get_long).map(settings::key).collect();
    let options = wrap(&names.join(", "), 76, 2);
    let flow = wrap(&llmspell_flow::RUN_OPTIONS.join(", "), 76, 2);
    CONFIG.replace("OPTIONS", &options).replace("RUN", &flow)
}
