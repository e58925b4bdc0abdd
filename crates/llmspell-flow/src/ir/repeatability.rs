//! Whether a tool can be called again for one record: by a retry after a timeout, or by the second copy of a hedge.

/// The effect of calling a tool twice for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatability {
    /// Harmless, even for two calls at the same time.
    Safe,
    /// Harmless for one call after another. Nothing is known about two calls at the same time.
    Sequential,
    /// Depends on the record, or on a server that has not been asked.
    Unknown,
    /// The effect may happen twice.
    Unsafe,
}
