//! The built-in tools, one file each.

mod calculator;
mod command;
mod csv;
mod folder;
mod hash;
mod html_to_text;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_get;
#[cfg(feature = "http")]
mod http_request;
mod json;
mod list_files;
mod patterns;
mod read_file;
mod regex;
mod slow;
mod template;
mod text;
mod time;
mod write_file;

use llmspell::Step;
use llmspell::tool::DynTool;

pub(crate) use command::{OwnCommand, own_command};

use crate::permission::{Gate, PermissionKind};

/// Those that only compute from their arguments.
pub(crate) fn pure() -> Vec<DynTool> {
    let tools = [
        calculator::calculator(),
        csv::csv(),
        hash::hash(),
        html_to_text::html_to_text(),
        json::json(),
        regex::regex(),
        template::template(),
        text::text(),
    ];
    tools.into_iter().map(repeatable).collect()
}

/// Those that touch nothing, but do not always give the same.
pub(crate) fn safe() -> Vec<DynTool> {
    [slow::slow(), time::time()].into_iter().map(repeatable).collect()
}

type Make = fn(&Gate) -> DynTool;

/// Those that need permissions, with the kind without which they can do nothing.
pub(crate) fn gated() -> Vec<(PermissionKind, Make)> {
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

/// The cargo feature that a tool needs, if this build lacks it.
pub(crate) fn missing_feature(name: &str) -> Option<&'static str> {
    let http = !cfg!(feature = "http") && matches!(name, "http_get" | "http_request");
    http.then_some("http")
}

/// A tool that does no harm if it runs twice, as a hedge does; its step says so.
pub(crate) fn repeatable(tool: DynTool) -> DynTool {
    let spec = tool.spec().clone();
    let step = tool.into_step().idempotent();
    DynTool::from_schema(&spec.name, &spec.description, spec.parameters, step).security(spec.security)
}
