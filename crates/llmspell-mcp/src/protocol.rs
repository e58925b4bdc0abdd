//! Partial output on its way through MCP.

/// Where a progress notification carries the chunk that the tool emitted, so that it arrives as it was.
pub(crate) const CHUNK: &str = "llmspell/chunk";

/// The code of the error that says that the server has too much to do. MCP has none; this one is of the range that
/// JSON-RPC leaves to servers, and reminds of HTTP's 429.
pub(crate) const OVERLOADED: i32 = -32029;

/// The code of the error that stands in for an answer that is too large to be taken, reminding of HTTP's 413.
pub(crate) const TOO_LARGE: i32 = -32013;

/// Where such an error says whether the answer was certainly the one to this call.
pub(crate) const OVERSIZED: &str = "llmspell/oversized";
