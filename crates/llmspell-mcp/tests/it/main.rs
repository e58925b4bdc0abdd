//! The client and the server against each other and against servers that misbehave: real processes, real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![expect(clippy::disallowed_methods, reason = "tests have callers that come and go")]

mod client;
mod guards;
mod harness;
mod http;
mod integration;
mod large_answers;
mod reconnect;
mod server;
mod servers;
