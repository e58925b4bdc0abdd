//! MCP, the Model Context Protocol, for [`llmspell`]: what a server offers as [tools](llmspell::Tool) of ours, and our
//! tools as a server.
//!
//! [`Client`] talks to a child process or over streamable HTTP, [`Server`] answers on both. Underneath is the crate
//! `rmcp`; what it leaves open is guarded here:
//!
//! 1. **Admission.** A server runs so many calls at once, lets so many wait, and tells the rest so at once.
//! 2. **Panics.** A tool that panics answers with an error; rmcp would not answer at all.
//! 3. **Cancellation.** A call that its client cancels is dropped, and its work with it; rmcp would let it go on.
//! 4. **Deadlines.** Every call has one. A call that is dropped or late is cancelled at the server, and counts as a
//!    [runaway](llmspell::Context::detached_work) until the server is done with it, or has been silent for a while.
//! 5. **Reconnecting.** A lost connection comes back with the next call. A call that may have happened is never
//!    repeated: its error says so, and is transient only if the tool is [idempotent](llmspell::Step::idempotent).
//!
//! Servers that are started get a clean environment; ours listens on loopback, checks `Host` and `Origin`, and wants
//! a token beyond. Neither offers the other side a model (sampling), a user (elicitation) or folders (roots).

mod background;
mod chunk;
mod client;
mod server;

pub use client::{Client, Connect, ServerTools};
pub use server::{Http, Listening, Server};
