//! Integration tests of the client and the server: against each other, and against servers and clients that misbehave.
//! They use real processes and real sockets.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]
#![expect(clippy::disallowed_methods, reason = "tests spawn concurrent callers")]

mod client;
mod guards;
mod harness;
mod http;
mod integration;
mod large_answers;
mod reconnect;
mod server;
mod test_servers;
