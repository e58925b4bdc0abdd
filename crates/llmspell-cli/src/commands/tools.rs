//! `llmspell tools`: the tools that flows can call.

use llmspell::internal::suggest;
use llmspell::registry::Registry;

use crate::exit::{CommandError, Exit};
use crate::options::allow;
use crate::options::args::ToolsArgs;
use crate::ui::{terminal, tools};

/// Lists the tools, or shows one.
pub(super) fn tools(args: &ToolsArgs, registry: &Registry) -> Result<Exit, CommandError> {
    let toolbox = allow::toolbox_without_permissions(registry)?;
    let text = match &args.name {
        None if args.json => serde_json::to_string_pretty(&toolbox.specs().collect::<Vec<_>>()).unwrap_or_default(),
        None => tools::list(&toolbox),
        Some(name) => match toolbox.get(name) {
            Some(tool) if args.json => serde_json::to_string_pretty(tool.spec()).unwrap_or_default(),
            Some(tool) => tools::describe(tool.spec(), toolbox.refused(name)),
            None => {
                let hint = suggest::hint(name, toolbox.names(), "the tools are");
                return Err(CommandError::invalid(format!("error: unknown tool `{name}`\n\nhint: {hint}")));
            }
        },
    };
    terminal::data(&text)?;
    Ok(Exit::Ok)
}
