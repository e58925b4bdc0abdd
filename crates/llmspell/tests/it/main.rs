//! What the patterns promise, one file a pattern. Time is paused unless a test says otherwise.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test binary exports nothing, and may panic")]

mod about;
mod adaptive;
mod adopt;
mod agent;
mod agent_tools;
mod breaker;
mod budget;
mod concurrent;
mod contained;
mod conversation;
mod events;
mod hedge;
mod limit;
mod limit_handle;
mod model;
mod patience;
mod pipeline;
mod probe;
#[cfg(all(feature = "process", unix))]
mod process;
mod properties;
mod race;
mod rate;
mod registry;
mod report;
mod retry;
mod retry_budget;
mod scrub;
mod stragglers;
mod stream;
mod timeout;
mod tool;
mod ui;
mod usage;
