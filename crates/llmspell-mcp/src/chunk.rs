//! Partial output on its way through MCP.

/// Where a progress notification carries the chunk that the tool emitted, so that it arrives as it was.
pub(crate) const CHUNK: &str = "llmspell/chunk";

/// The code of the error that says that the server has too much to do. MCP has none; this one is of the range that
/// JSON-RPC leaves to servers, and reminds of HTTP's 429.
pub(crate) const OVERLOADED: i32 = -32029;

/// The code of the error that says that an answer was too large to be taken, after HTTP's 413.
pub(crate) const TOO_LARGE: i32 = -32013;
