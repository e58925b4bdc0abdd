//! The built-in tools by what they need: nothing, or permissions.

use llmspell::Step;
use llmspell::tool::DynTool;

use super::{
    calculator, command, csv, hash, html_to_text, http_get, http_request, json, list_files, read_file, regex, slow,
    text, time, write_file,
};
use crate::permission::{Gate, PermissionKind, Permissions};

/// Returns the built-in tools, each within what is granted.
pub fn built_in(granted: &Permissions) -> Vec<DynTool> {
    let gate = Gate::of_user(granted);
    let gated = gated().into_iter().map(|(_, make)| make(&gate));
    pure().into_iter().chain(safe()).chain(gated).collect()
}

/// Those that only compute from their arguments.
pub fn pure() -> Vec<DynTool> {
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
pub fn safe() -> Vec<DynTool> {
    [slow::slow(), time::time()].into_iter().map(repeatable).collect()
}

/// Makes a tool for the permissions of one caller.
pub type Make = fn(&Gate) -> DynTool;

/// Those that need permissions, with the kind without which they can do nothing.
pub fn gated() -> Vec<(PermissionKind, Make)> {
    vec![
        (PermissionKind::Command, command::command),
        (PermissionKind::Net, |gate| repeatable(http_get::http_get(gate))),
        (PermissionKind::Net, http_request::http_request),
        (PermissionKind::Read, |gate| repeatable(list_files::list_files(gate))),
        (PermissionKind::Read, |gate| repeatable(read_file::read_file(gate))),
        (PermissionKind::Write, write_file::write_file),
    ]
}

/// A tool that does no harm if it runs twice, as a hedge does; its step says so.
pub fn repeatable(tool: DynTool) -> DynTool {
    let spec = tool.spec().clone();
    let step = tool.into_step().idempotent();
    DynTool::from_schema(&spec.name, &spec.description, spec.parameters, step).security(spec.security)
}
