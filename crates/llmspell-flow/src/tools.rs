//! The built-in tools, one file each.

mod command;
mod http_get;
mod json;
mod read_file;
mod slow;
mod text;

pub(crate) use command::command;
pub(crate) use http_get::http_get;
pub(crate) use json::json;
pub(crate) use read_file::read_file;
pub(crate) use slow::slow;
pub(crate) use text::text;
