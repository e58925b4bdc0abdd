//! The built-in tools, grouped by the permissions that they need.

use llmspell::Step;
use llmspell::tool::DynTool;

use super::{
    calculator, command, csv, hash, html_to_text, json, list_files, read_file, regex, slow, text, time, write_file,
};
#[cfg(feature = "http")]
use super::{http_get, http_request};
use crate::permission::{Gate, PermissionKind, Permissions};

/// Returns the built-in tools, each within the granted permissions.
pub fn built_in(granted: &Permissions) -> Vec<DynTool> {
    let gate = Gate::of_user(granted);
    let gated = gated().into_iter().map(|(_, make)| make(&gate));
    pure().into_iter().chain(safe()).chain(gated).collect()
}

/// Returns the tools that only compute from their arguments.
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

/// Returns the tools that touch nothing outside but whose results vary.
pub fn safe() -> Vec<DynTool> {
    [slow::slow(), time::time()].into_iter().map(repeatable).collect()
}

/// A function that makes a tool for the permissions of one caller.
pub type Make = fn(&Gate) -> DynTool;

/// Returns the tools that need permissions, each with the kind without which it can do nothing.
pub fn gated() -> Vec<(PermissionKind, Make)> {
    vec![
        (PermissionKind::Command, command::command),
        #[cfg(feature = "http")]
        (PermissionKind::Net, |gate| repeatable(http_get::http_get(gate))),
        #[cfg(feature = "http")]
        (PermissionKind::Net, http_request::http_request),
        (PermissionKind::Read, |gate| repeatable(list_files::list_files(gate))),
        (PermissionKind::Read, |gate| repeatable(read_file::read_file(gate))),
        (PermissionKind::Write, write_file::write_file),
    ]
}

/// Returns the cargo feature that a tool needs, if this build lacks it.
pub fn missing_feature(name: &str) -> Option<&'static str> {
    let http = !cfg!(feature = "http") && matches!(name, "http_get" | "http_request");
    http.then_some("http")
}

/// Marks a tool as safe to run twice, as a hedge does.
pub fn repeatable(tool: DynTool) -> DynTool {
    let spec = tool.spec().clone();
    let step = tool.into_step().idempotent();
    DynTool::from_schema(&spec.name, &spec.description, spec.parameters, step).security(spec.security)
}
