//! `llmspell config show`: the value of each option and its source.

use crate::exit::{CommandError, Exit};
use crate::options::args::{ConfigArgs, ConfigCommand};
use crate::options::resolved::ResolvedOptions;
use crate::ui::{config, terminal};

/// Prints all options that files can set.
pub(super) fn config(args: &ConfigArgs, options: &ResolvedOptions) -> Result<Exit, CommandError> {
    let ConfigCommand::Show { json, .. } = args.command;
    let all = options.effective()?;
    terminal::data(&if json { config::json(&all) } else { config::text(&all) })?;
    Ok(Exit::Ok)
}
