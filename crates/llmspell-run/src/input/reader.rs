//! Where lines come from, whatever the format.

use std::io::{self, Read};

use llmspell::Error;

use super::csv::CsvRows;
use super::decode::RecordDecoder;
use super::files::Files;
use super::lines::{Line, Lines};
use super::sniff::{self, NotLineBased};

/// What records are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Rows of values apart by commas, as [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) has them. The first row
    /// names the fields. Values are text, and empty ones are empty text.
    Csv,
    /// The same, apart by tabs.
    Tsv,
}

impl Format {
    /// The format of a file by its ending: `.csv`, `.tsv`, and JSON lines for all else.
    pub fn of(path: &std::path::Path) -> Self {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("csv") => Format::Csv,
            Some("tsv" | "tab") => Format::Tsv,
            _ => Format::Jsonl,
        }
    }
}

/// Why reading broke off.
pub(crate) enum ReadError {
    Io(io::Error),
    /// What was read can be no input at all.
    Invalid(Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

type Bytes = Box<dyn Read + Send>;

pub(crate) enum Reader {
    Lines(Box<Lines<Bytes>>),
    Rows(Box<CsvRows<Bytes>>),
    Files(Files),
}

impl Reader {
    /// Reads as far as it takes to tell whether all of it can be no input, or not one of this flow. What is read is not
    /// lost.
    pub(crate) fn begin(&mut self, decoder: &RecordDecoder, name: &str) -> Result<(), ReadError> {
        let begun = match self {
            Reader::Lines(lines) => match lines.peek(0)?.and_then(NotLineBased::at) {
                Some(wrong) if wrong.is_confirmed(lines.peek(1)?) => Err(wrong.into_error(name)),
                _ => Ok(()),
            },
            Reader::Rows(rows) => match rows.header()? {
                Some(names) => {
                    let format = rows.format();
                    let raw = if names.len() == 1 { Some(rows.beginning()?) } else { None };
                    sniff::columns(&names, raw, format, decoder, name)
                }
                None => Ok(()),
            },
            Reader::Files(_) => sniff::files(decoder, name),
        };
        begun.map_err(ReadError::Invalid)
    }

    pub(crate) fn next(&mut self) -> Result<Option<Line>, ReadError> {
        match self {
            Reader::Lines(lines) => Ok(lines.next()?),
            Reader::Rows(rows) => rows.next(),
            Reader::Files(files) => Ok(files.next()?),
        }
    }

    /// Whether the next line can be had without waiting.
    pub(crate) fn has_line(&self) -> bool {
        match self {
            Reader::Lines(lines) => lines.has_line(),
            Reader::Rows(rows) => rows.has_row(),
            Reader::Files(_) => true,
        }
    }

    /// How many bytes have been read.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Reader::Lines(lines) => lines.bytes(),
            Reader::Rows(rows) => rows.bytes(),
            Reader::Files(files) => files.bytes(),
        }
    }
}
