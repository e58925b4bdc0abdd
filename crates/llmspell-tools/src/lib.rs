//! The built-in tools of LLMSpell, one file each, and the permissions that they need.
//!
//! A tool can do only what its user has granted. This crate imports the core alone; it must not know flows or runs.
//!
//! ```
//! use llmspell_tools::Permissions;
//!
//! let granted = Permissions::none().allow("net=example.org")?;
//! let tools = llmspell_tools::built_in(&granted);
//! # #[cfg(feature = "http")]
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
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_get;
#[cfg(feature = "http")]
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
pub use permission::{Grantor, MissingPermission, Permissions};

/// The items that `llmspell-flow` needs to bind tools to a flow. Not part of the public API: they may change in any
/// version.
#[doc(hidden)]
pub mod internal {
    pub use crate::builtin::{Make, gated, missing_feature, pure, repeatable, safe};
    pub use crate::command::run_command;
    pub use crate::permission::{Gate, PermissionKind, is_http_url};
}
