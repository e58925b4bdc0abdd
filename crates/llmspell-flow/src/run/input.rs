//! Where records come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use llmspell::{Error, Result};

use super::identity::FileId;

/// Records to be read, one JSON object a line.
pub struct Input {
    pub(crate) reader: Box<dyn Read + Send>,
    /// Which file it is, if it is one: the output must be another one.
    pub(crate) file: Option<FileId>,
    name: String,
    size: Option<u64>,
}

impl Input {
    /// A file.
    ///
    /// # Errors
    /// If it cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self> {
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
            return Err(failed("it is a folder".to_owned()).with_hint("name a file of records, one JSON object a line"));
        }
        let size = about.is_file().then_some(about.len());
        Ok(Input { reader: Box::new(file), file: FileId::at(path), name, size })
    }

    /// Standard input.
    pub fn stdin() -> Self {
        Input { file: FileId::stdin(), ..Input::from_reader("standard input", io::stdin()) }
    }

    /// Anything that can be read; the name is for messages.
    pub fn from_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Input { reader: Box::new(reader), file: None, name: name.into(), size: None }
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
