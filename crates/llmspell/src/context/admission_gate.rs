//! The admission gate: lets flow control end the intake of a stream without knowing the stream.

use crate::error::Error;

/// A condition over a whole run that can end it: a closed gate admits no further input, and work in flight drains.
pub(crate) trait AdmissionGate: Send + Sync {
    /// Returns why no further input may start, or `None` while the gate is open.
    ///
    /// A stream asks before it pulls each input. A gate that was closed once has ended the stream.
    fn close_reason(&self) -> Option<Error>;
}
