//! Where records come from.

mod csv;
mod decode;
mod files;
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

pub(crate) use lines::Line;
pub use reader::Format;
pub(crate) use records::{Intake, Records, parse};
pub use survey::survey;

use crate::file_id::FileId;
use csv::Rows;
use decode::Form;
use files::Files;
use lines::{LONGEST, Lines};
use reader::{Broken, Reader};

/// Records to be read, one by one: JSON lines, CSV, or files.
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
    pub(crate) form: Form,
    pub(crate) sample: Option<usize>,
    /// Which file it is, if it is one: the output must be another one.
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
    /// A file; its ending tells the [format](Format::of).
    ///
    /// # Errors
    /// If it cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self> {
        Input::open_as(path, Format::of(path))
    }

    /// A file, whatever its ending.
    ///
    /// # Errors
    /// If it cannot be opened, or is a folder.
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

    /// Standard input.
    pub fn stdin(format: Format) -> Self {
        Input { file: FileId::stdin(), ..Input::from_reader_as("standard input", io::stdin(), format) }
    }

    /// JSON lines from anything that can be read; the name is for messages.
    pub fn from_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Input::from_reader_as(name, reader, Format::Jsonl)
    }

    /// Records from anything that can be read; the name is for messages.
    pub fn from_reader_as(name: impl Into<String>, reader: impl Read + Send + 'static, format: Format) -> Self {
        let reader: Box<dyn Read + Send> = Box::new(reader);
        let is_untyped = format != Format::Jsonl;
        let reader = match format {
            Format::Jsonl => Reader::Lines(Box::new(Lines::new(reader, LONGEST))),
            Format::Csv => Reader::Rows(Box::new(Rows::new(reader, b',', LONGEST))),
            Format::Tsv => Reader::Rows(Box::new(Rows::new(reader, b'\t', LONGEST))),
        };
        Input::of(reader, Form { is_untyped, ..Form::default() }, name.into())
    }

    /// Files, one record each: `path`, `name`, `extension`, `bytes`, `modified_ms`, and `text`, which is read when the
    /// record is taken, unless the flow declares its inputs without it. At most 64 MiB of UTF-8 are read; all else is
    /// an error of that record.
    ///
    /// In a pattern, `*` is any name, `**` any folders, `{a,b}` either, `[abc]` one of these. Names that begin with a
    /// dot match only if the pattern says so. A file that several patterns match comes once.
    ///
    /// # Errors
    /// If a pattern cannot be used, or nothing matches.
    pub fn files(patterns: &[String]) -> Result<Self> {
        let mut files = Files::matching(patterns)?;
        let unreadable = |error| Error::invalid(format!("--files: {error}")).with_hint("check the permissions");
        if files.is_empty().map_err(unreadable)? {
            let message = format!("--files: nothing matches {}", patterns.join(" "));
            return Err(Error::invalid(message).with_hint("'*.md' is in this folder alone, '**/*.md' in all below it"));
        }
        let form = Form { is_file: true, ..Form::default() };
        Ok(Input::of(Reader::Files(files), form, "the list of files".to_owned()))
    }

    fn of(reader: Reader, form: Form, name: String) -> Self {
        Input { reader, form, sample: None, file: None, name, size: None }
    }

    /// Looks at its beginning, if it is a file: whether it can be the input of this flow. Otherwise that is found when
    /// the run begins to read, for a pipe may have nothing to read for a long time.
    ///
    /// # Errors
    /// If it cannot be read; if it is of another [`Format`]; if a header names a column twice; if what the flow asks
    /// for under `inputs` has no column, and is not [set](Input::set).
    pub fn checked_for(mut self, flow: &Flow) -> Result<Self> {
        self.form.fit(flow);
        if self.size.is_none() && !self.form.is_file {
            return Ok(self);
        }
        match self.reader.begin(&self.form, &self.name) {
            Ok(()) => Ok(self),
            Err(Broken::Wrong(error)) => Err(error),
            Err(Broken::Io(error)) => {
                let message = format!("cannot read the input {}: {error}", self.name);
                Err(Error::invalid(message).with_hint("try another file").with_source(error))
            }
        }
    }

    /// Takes only so many records, each with the same chance. The same input gives the same ones each time. All of it
    /// is read before the first record is taken; the sample is kept in memory.
    pub fn sample(mut self, records: usize) -> Self {
        self.sample = Some(records);
        self
    }

    /// Gives every record this field, whatever it says itself.
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.form.set.push((field.into(), value.into()));
        self
    }

    /// Makes no record of this file, whatever patterns match it: one that the run writes.
    pub fn leave_out(mut self, path: &Path) -> Self {
        if let Reader::Files(files) = &mut self.reader {
            files.leave_out(path);
        }
        self
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes there are, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}
