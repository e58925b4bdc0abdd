//! The handling of failed records in the output.

/// How a failed record is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// Writes a line for it, like for any other record.
    #[default]
    Row,
    /// Writes no line; the record is counted, and the journal has it.
    Drop,
    /// Writes its line, and reads no more records.
    Stop,
}
