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
use llmspell::tool::ErasedTool;

pub(crate) use command::{OwnCommand, own_command};

use crate::permission::{Gate, Kind};

/// Those that only compute from their arguments.
pub(crate) fn pure() -> Vec<ErasedTool> {
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
pub(crate) fn safe() -> Vec<ErasedTool> {
    [slow::slow(), time::time()].into_iter().map(repeatable).collect()
}

type Make = fn(&Gate) -> ErasedTool;

/// Those that need permissions, with the kind without which they can do nothing.
pub(crate) fn gated() -> Vec<(Kind, Make)> {
    vec![
        (Kind::Command, command::command),
        #[cfg(feature = "http")]
        (Kind::Net, |gate| repeatable(http_get::http_get(gate))),
        #[cfg(feature = "http")]
        (Kind::Net, http_request::http_request),
        (Kind::Read, |gate| repeatable(list_files::list_files(gate))),
        (Kind::Read, |gate| repeatable(read_file::read_file(gate))),
        (Kind::Write, write_file::write_file),
    ]
}

/// The cargo feature that a tool needs, if this build lacks it.
pub(crate) fn missing_feature(name: &str) -> Option<&'static str> {
    let http = !cfg!(feature = "http") && matches!(name, "http_get" | "http_request");
    http.then_some("http")
}

/// A tool that does no harm if it runs twice, as a hedge does; its step says so.
pub(crate) fn repeatable(tool: ErasedTool) -> ErasedTool {
    let spec = tool.spec().clone();
    let step = tool.into_step().idempotent();
    ErasedTool::described(&spec.name, &spec.description, spec.parameters, step).security(spec.security)
}
