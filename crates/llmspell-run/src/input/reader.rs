//! The reader of a format.

use std::io::Read;

use super::csv::CsvRows;
use super::decode::RecordDecoder;
use super::files::Files;
use super::format::ReadError;
use super::lines::{InputLine, Lines};
use super::sniff::{self, NotLineBased};

type Bytes = Box<dyn Read + Send>;

pub(crate) enum Reader {
    Lines(Box<Lines<Bytes>>),
    Rows(Box<CsvRows<Bytes>>),
    Files(Files),
}

impl Reader {
    /// Reads enough to check whether the whole input is valid, and valid for this flow. `next` still returns the
    /// records read here.
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
            Reader::Files(_) => sniff::file_fields(decoder, name),
        };
        begun.map_err(ReadError::Invalid)
    }

    pub(crate) fn next(&mut self) -> Result<Option<InputLine>, ReadError> {
        match self {
            Reader::Lines(lines) => Ok(lines.next()?),
            Reader::Rows(rows) => rows.next(),
            Reader::Files(files) => Ok(files.next()?),
        }
    }

    /// Whether the next line is available without waiting.
    pub(crate) fn has_line(&self) -> bool {
        match self {
            Reader::Lines(lines) => lines.has_line(),
            Reader::Rows(rows) => rows.has_row(),
            Reader::Files(_) => true,
        }
    }

    /// Returns the number of bytes read.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Reader::Lines(lines) => lines.bytes(),
            Reader::Rows(rows) => rows.bytes(),
            Reader::Files(files) => files.bytes(),
        }
    }
}
