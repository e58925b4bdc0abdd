//! The commands, one file each. A command never imports another one; what two of them share is in the session.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod plan;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod tools;
