//! Failed records in the output.

/// What becomes of a record that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// It has its line, like any other.
    #[default]
    Row,
    /// It has no line; it is counted, and the journal has it.
    Drop,
    /// It has its line, and the run takes no more records.
    Stop,
}
