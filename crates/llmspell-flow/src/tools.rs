//! The built-in tools, one file each.

mod calculator;
mod command;
mod csv;
mod folder;
mod hash;
mod html_to_text;
mod http;
mod http_get;
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

use llmspell::tool::ErasedTool;

pub(crate) use command::own_command;
pub(crate) use http::is_public;

use crate::permission::{Gate, Kind};

/// Those that only compute from their arguments.
pub(crate) fn pure() -> Vec<ErasedTool> {
    vec![
        calculator::calculator(),
        csv::csv(),
        hash::hash(),
        html_to_text::html_to_text(),
        json::json(),
        regex::regex(),
        template::template(),
        text::text(),
    ]
}

/// Those that touch nothing, but do not always give the same.
pub(crate) fn safe() -> Vec<ErasedTool> {
    vec![slow::slow(), time::time()]
}

/// Those that need permissions, with the kind without which they can do nothing.
pub(crate) fn gated() -> Vec<(Kind, fn(&Gate) -> ErasedTool)> {
    vec![
        (Kind::Command, command::command),
        (Kind::Net, http_get::http_get),
        (Kind::Net, http_request::http_request),
        (Kind::Read, list_files::list_files),
        (Kind::Read, read_file::read_file),
        (Kind::Write, write_file::write_file),
    ]
}
