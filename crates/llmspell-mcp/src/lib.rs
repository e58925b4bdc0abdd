//! MCP, the Model Context Protocol, for [`llmspell`]: the tools of MCP servers as [tools](llmspell::Tool), and our
//! tools as an MCP server.
//!
//! [`Client`] talks to a child process or over streamable HTTP. [`Server`] serves both. The crate is based on `rmcp`
//! and adds the guards that `rmcp` leaves to its users:
//!
//! 1. **Admission.** A server runs at most N calls at a time, queues at most M, and rejects the rest at once.
//! 2. **Panics.** A tool that panics answers with an error; `rmcp` would not answer at all.
//! 3. **Cancellation.** When a client cancels a call, the server drops the call and its work; `rmcp` would let it run.
//! 4. **Deadlines.** Every call has a deadline. A call that is dropped or late is cancelled at the server. It counts as
//!    a [runaway](llmspell::Context::detached_work) until the server has finished it, or has been silent for a while.
//! 5. **Reconnection.** The next call reconnects a lost connection. A call that may have happened is never repeated:
//!    its error says so, and is transient only if the tool is [idempotent](llmspell::Step::idempotent).
//!
//! Child servers start with a clean environment. Our server listens on loopback and checks `Host` and `Origin`; any
//! other address requires a token. Neither side offers the other a model (sampling), a user (elicitation) or folders
//! (roots).

mod background;
mod client;
mod protocol;
mod server;

pub use client::{Client, ClientBuilder, ServerTools};
pub use server::{BoundServer, Http, Server};
