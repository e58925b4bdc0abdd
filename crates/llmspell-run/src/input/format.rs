//! The formats of records, and the errors of reading them.

use std::io;

use llmspell::Error;

/// The longest line, row or file that becomes a record: 64 MiB. A longer one is an error of that record.
pub(crate) const MAX_RECORD: usize = 64 << 20;

/// The format of records in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Rows of comma-separated values ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)). The first row names the
    /// fields. Every value is text; an empty value is an empty text.
    Csv,
    /// The same with tabs as separators.
    Tsv,
}

impl Format {
    /// Returns the format that belongs to the extension of a file: `.csv`, `.tsv`, or JSON lines for every other.
    pub fn of(path: &std::path::Path) -> Self {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("csv") => Format::Csv,
            Some("tsv" | "tab") => Format::Tsv,
            _ => Format::Jsonl,
        }
    }
}

/// The reason why reading failed.
pub(crate) enum ReadError {
    Io(io::Error),
    /// The input as a whole is not valid.
    Invalid(Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}
