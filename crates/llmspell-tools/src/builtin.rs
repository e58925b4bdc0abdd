//! The built-in tools by what they need: nothing, or permissions.

use llmspell::Step;
use llmspell::tool::ErasedTool;

use super::{
    calculator, command, csv, hash, html_to_text, http_get, http_request, json, list_files, read_file, regex, slow,
    text, time, write_file,
};
use crate::permission::{Gate, Kind, Permissions};

/// Returns the built-in tools, each within what is granted.
pub fn built_in(granted: &Permissions) -> Vec<ErasedTool> {
    let gate = Gate::of_user(granted);
    let gated = gated().into_iter().map(|(_, make)| make(&gate));
    pure().into_iter().chain(safe()).chain(gated).collect()
}

/// Those that only compute from their arguments.
pub fn pure() -> Vec<ErasedTool> {
    let tools = [
        calculator::calculator(),
        csv::csv(),
        hash::hash(),
        html_to_text::html_to_text(),
        json::json(),
        regex::regex(),
        text::text(),
    ];
    tools.into_iter().map(repeatable).collect()
}

/// Those that touch nothing, but do not always give the same.
pub fn safe() -> Vec<ErasedTool> {
    [slow::slow(), time::time()].into_iter().map(repeatable).collect()
}

/// Makes a tool for the permissions of one caller.
pub type Make = fn(&Gate) -> ErasedTool;

/// Those that need permissions, with the kind without which they can do nothing.
pub fn gated() -> Vec<(Kind, Make)> {
    vec![
        (Kind::Command, command::command),
        (Kind::Net, |gate| repeatable(http_get::http_get(gate))),
        (Kind::Net, http_request::http_request),
        (Kind::Read, |gate| repeatable(list_files::list_files(gate))),
        (Kind::Read, |gate| repeatable(read_file::read_file(gate))),
        (Kind::Write, write_file::write_file),
    ]
}

/// A tool that does no harm if it runs twice, as a hedge does; its step says so.
pub fn repeatable(tool: ErasedTool) -> ErasedTool {
    let spec = tool.spec().clone();
    let step = tool.into_step().idempotent();
    ErasedTool::described(&spec.name, &spec.description, spec.parameters, step).security(spec.security)
}
