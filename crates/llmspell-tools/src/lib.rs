//! The built-in tools of LLMSpell, one file each, and the permissions that they ask for.
//!
//! A tool does what its user has granted, and nothing else. This crate knows the core alone: neither flows nor runs.
//!
//! ```
//! use llmspell_tools::Permissions;
//!
//! let granted = Permissions::none().allow("net=example.org")?;
//! let tools = llmspell_tools::built_in(&granted);
//! assert!(tools.iter().any(|tool| tool.spec().name == "http_get"));
//! # Ok::<(), llmspell::Error>(())
//! ```

mod builtin;
mod calculator;
mod command;
mod csv;
mod dir;
mod hash;
mod html_to_text;
mod http;
mod http_get;
mod http_request;
mod json;
mod list_files;
mod patterns;
mod permission;
mod read_file;
mod regex;
mod slow;
mod text;
mod time;
mod write_file;

pub use builtin::built_in;
pub use permission::{Missing, Permissions, Side};

/// What `llmspell-flow` needs to bind tools to a flow. Not a part of the public interface: it may change in any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::builtin::{Make, gated, pure, repeatable, safe};
    pub use crate::command::run_command;
    pub use crate::http::is_http_url;
    pub use crate::permission::{Gate, PermissionKind};
}
