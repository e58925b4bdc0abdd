//! The records of a run: their sources, formats, and decoding.

mod csv;
mod decode;
mod file_text;
mod files;
mod format;
mod lines;
mod reader;
mod records;
mod sniff;
mod survey;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use llmspell::{Error, Result};
use llmspell_flow::Flow;
use serde_json::Value;

pub use format::Format;
pub(crate) use lines::InputLine;
pub(crate) use records::{InputTracker, Records, parse};
pub use survey::survey;

use crate::file_id::FileId;
use csv::CsvRows;
use decode::RecordDecoder;
use files::Files;
use format::{MAX_RECORD, ReadError};
use lines::Lines;
use reader::Reader;

/// The records of a run: JSON lines, CSV, or files.
///
/// ```
/// use llmspell_run::{Format, Input};
///
/// let csv = "id,question\n1,\"Why, then?\"\n";
/// let input = Input::from_reader_as("records", csv.as_bytes(), Format::Csv).set("lang", "en").sample(100);
/// assert_eq!(input.name(), "records");
/// ```
pub struct Input {
    pub(crate) reader: Reader,
    pub(crate) decoder: RecordDecoder,
    pub(crate) sample: Option<usize>,
    /// The identity of the input, if it is a file: the output must be another file.
    pub(crate) file: Option<FileId>,
    name: String,
    size: Option<u64>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file; its extension determines the [format](Format::of).
    ///
    /// # Errors
    /// If the file cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self> {
        Input::open_as(path, Format::of(path))
    }

    /// Opens a file of this format, whatever its extension.
    ///
    /// # Errors
    /// If the file cannot be opened, or is a folder.
    pub fn open_as(path: &Path, format: Format) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |why: String| Error::invalid(format!("cannot read the input {name}: {why}"));
        let file = File::open(path).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "check the path; `--input -` reads standard input",
                _ => "check its permissions",
            };
            failed(error.to_string()).with_hint(hint).with_source(error)
        })?;
        let about = file.metadata().map_err(|error| failed(error.to_string()).with_hint("try another file"))?;
        if about.is_dir() {
            let hint = format!("name a file of records; `--files '{name}/*'` makes a record of each file in it");
            return Err(failed("it is a folder".to_owned()).with_hint(hint));
        }
        let size = about.is_file().then_some(about.len());
        Ok(Input { file: FileId::at(path), size, ..Input::from_reader_as(name, file, format) })
    }

    /// Reads standard input.
    pub fn stdin(format: Format) -> Self {
        Input { file: FileId::stdin(), ..Input::from_reader_as("standard input", io::stdin(), format) }
    }

    /// Reads JSON lines from any reader; the name is for messages.
    pub fn from_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Input::from_reader_as(name, reader, Format::Jsonl)
    }

    /// Reads records from any reader; the name is for messages.
    pub fn from_reader_as(name: impl Into<String>, reader: impl Read + Send + 'static, format: Format) -> Self {
        let reader: Box<dyn Read + Send> = Box::new(reader);
        let is_untyped = format != Format::Jsonl;
        let reader = match format {
            Format::Jsonl => Reader::Lines(Box::new(Lines::new(reader, MAX_RECORD))),
            Format::Csv => Reader::Rows(Box::new(CsvRows::new(reader, b',', MAX_RECORD))),
            Format::Tsv => Reader::Rows(Box::new(CsvRows::new(reader, b'\t', MAX_RECORD))),
        };
        Input::of(reader, RecordDecoder { is_untyped, ..RecordDecoder::default() }, name.into())
    }

    /// Makes a record of each file, with `path`, `name`, `extension`, `bytes`, `modified_ms`, and `text`. The text is
    /// read when the record starts, unless the flow declares its inputs without it. It must be UTF-8 of at most 64
    /// MiB; everything else is an error of that record.
    ///
    /// In a pattern, `*` matches any name, `**` any folders, `{a,b}` either, and `[abc]` one of these. Names that
    /// begin with a dot match only if the pattern begins with one. A file that several patterns match comes once.
    ///
    /// # Errors
    /// If a pattern is invalid, or no file matches.
    pub fn files(patterns: &[String]) -> Result<Self> {
        let mut files = Files::matching(patterns)?;
        let unreadable = |error| Error::invalid(format!("--files: {error}")).with_hint("check the permissions");
        if files.is_empty().map_err(unreadable)? {
            let message = format!("--files: no file matches {}", patterns.join(" "));
            return Err(
                Error::invalid(message).with_hint("'*.md' matches in this folder, '**/*.md' also in all folders below")
            );
        }
        let decoder = RecordDecoder { is_file: true, ..RecordDecoder::default() };
        Ok(Input::of(Reader::Files(files), decoder, "the list of files".to_owned()))
    }

    fn of(reader: Reader, decoder: RecordDecoder, name: String) -> Self {
        Input { reader, decoder, sample: None, file: None, name, size: None }
    }

    /// Checks the beginning of a file: whether it can be the input of this flow. Every other input is checked when the
    /// run begins to read, because a pipe may stay empty for a long time.
    ///
    /// # Errors
    /// If the file cannot be read; if it has another [`Format`]; if a header names a column twice; if the flow
    /// requires an input that has no column and is not [set](Input::set).
    pub fn checked_for(mut self, flow: &Flow) -> Result<Self> {
        self.decoder.configure(flow);
        if self.size.is_none() && !self.decoder.is_file {
            return Ok(self);
        }
        match self.reader.begin(&self.decoder, &self.name) {
            Ok(()) => Ok(self),
            Err(ReadError::Invalid(error)) => Err(error),
            Err(ReadError::Io(error)) => {
                let message = format!("cannot read the input {}: {error}", self.name);
                Err(Error::invalid(message).with_hint("try another file").with_source(error))
            }
        }
    }

    /// Samples at most this many records, each with the same chance. The same input gives the same sample. The whole
    /// input is read before the first record starts; the sample is kept in memory.
    pub fn sample(mut self, records: usize) -> Self {
        self.sample = Some(records);
        self
    }

    /// Sets this field in every record, and overrides the value of the record.
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.decoder.set.push((field.into(), value.into()));
        self
    }

    /// Excludes a file from the patterns, such as an output of the run.
    pub fn exclude(mut self, path: &Path) -> Self {
        if let Reader::Files(files) = &mut self.reader {
            files.exclude(path);
        }
        self
    }

    /// Returns the name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of bytes, if it is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}
