//! Our additions to the protocol: keys of metadata and codes of errors that client and server share.

/// The metadata key of a progress notification that carries the emitted chunk unchanged.
pub(crate) const CHUNK: &str = "llmspell/chunk";

/// The error code of an overloaded server. MCP defines none; this one is in the range that JSON-RPC leaves to servers,
/// and resembles HTTP's 429.
pub(crate) const OVERLOADED: i32 = -32029;

/// The error code that replaces an answer above the size limit; it resembles HTTP's 413.
pub(crate) const TOO_LARGE: i32 = -32013;

/// The key in the data of a [`TOO_LARGE`] error: whether the oversized answer certainly belonged to this call.
pub(crate) const OVERSIZED: &str = "llmspell/oversized";
