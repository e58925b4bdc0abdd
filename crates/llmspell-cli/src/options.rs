//! Options of commands: flags, environment variables, configuration files and the flow, resolved to one value each.
//!
//! [`args`] is the table of all options. This module must not run or print anything.

pub(crate) mod allow;
pub(crate) mod args;
pub(crate) mod budget;
pub(crate) mod config_file;
pub(crate) mod records;
pub(crate) mod resolved;
pub(crate) mod settings;
