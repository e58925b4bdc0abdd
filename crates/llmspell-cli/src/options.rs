//! Options: flags, environment variables and files, and what they resolve to.

pub(crate) mod allow;
pub(crate) mod args;
pub(crate) mod budget;
pub(crate) mod config_file;
pub(crate) mod records;
pub(crate) mod resolved;
pub(crate) mod settings;
