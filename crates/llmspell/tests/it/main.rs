//! Tests of the library's behaviour, one file for each part. The clock is paused unless a test says otherwise.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test binary exports nothing, and may panic")]

mod adaptive;
mod agent;
mod agent_tools;
mod breaker;
mod budget;
mod catch_unwind;
mod concurrent;
mod conversation;
mod events;
mod hedge;
mod info;
mod limit;
mod limit_handle;
mod merge_outcome;
mod model;
mod pipeline;
mod pipeline_properties;
mod probe;
#[cfg(all(feature = "process", unix))]
mod process;
mod race;
mod rate;
mod redactor;
mod registry;
mod report;
mod retry;
mod retry_budget;
mod stragglers;
mod stream;
mod timeout;
mod tool;
mod ui;
mod usage;
mod wait;
