//! The real program, with real files, pipes, signals and servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod agents;
mod commands;
mod config;
mod connecting;
mod denied;
mod flows;
mod http;
mod inputs;
#[cfg(unix)]
mod journal;
mod live;
mod options;
#[cfg(unix)]
mod outputs;
mod pipes;
mod plan;
mod program;
mod records;
mod runs;
#[cfg(unix)]
mod secrets;
mod signals;
mod start;
mod states;
mod wrong;
