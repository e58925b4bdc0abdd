//! `llmspell tools`: what flows can call.

use llmspell::Registry;
use llmspell::tool::ToolSpec;
use llmspell_flow::Toolbox;

use crate::allow;
use crate::args::ToolsArgs;
use crate::exit::{Exit, Failure};
use crate::show;

/// The width of the texts.
const WIDTH: usize = 80;

/// Lists the tools, or shows one.
pub(crate) fn tools(args: &ToolsArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::nothing(registry)?;
    let text = match &args.name {
        None => list(&toolbox),
        Some(name) => match toolbox.get(name) {
            Some(tool) => describe(tool.spec(), toolbox.refused(name)),
            None => {
                let names: Vec<&str> = toolbox.specs().map(|spec| spec.name.as_str()).collect();
                let names = names.join(", ");
                return Err(Failure::invalid(format!(
                    "error: there is no tool `{name}`\n\nhint: the tools are: {names}"
                )));
            }
        },
    };
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

fn list(toolbox: &Toolbox) -> String {
    let name = toolbox.specs().map(|spec| spec.name.len()).max().unwrap_or(0);
    let lines = toolbox.specs().map(|spec| {
        let before = format!("{:name$}  {:10}  ", spec.name, spec.security.as_str());
        let description = show::wrapped(&spec.description, WIDTH - before.len(), before.len());
        format!("{before}{description}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn describe(spec: &ToolSpec, refused: Option<&str>) -> String {
    let permission = refused.map_or(String::new(), |flag| format!(" (needs {flag})"));
    let schema = serde_json::to_string_pretty(&spec.parameters).unwrap_or_default();
    let description = show::wrapped(&spec.description, WIDTH, 0);
    format!("{} · {}{permission}\n\n{description}\n\n{schema}", spec.name, spec.security.as_str())
}
