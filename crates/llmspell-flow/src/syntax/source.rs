//! The text of a flow file, its name and its folder.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use llmspell::{Error, Result};

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::nonblocking::{is_pipe, open_nonblocking};

/// The text of a flow file, with the name that diagnostics show.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    folder: Option<Arc<Path>>,
}

/// The maximum size of a flow file.
const MAX_BYTES: u64 = 4 << 20;

impl Source {
    /// Creates a source from a text and a name, such as the path of its file. It has no folder: prompts in files are
    /// not available, and paths under `allow` are relative to the current folder.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Source { name: name.into(), text: text.into(), folder: None }
    }

    /// Reads a file. Its path is the name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if it cannot be read, is not UTF-8, or is larger than 4 MiB.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Source::new(path.display().to_string(), text).in_folder(folder))
    }

    /// Sets the folder of the text: paths of prompts and paths under `allow` are relative to it.
    pub fn in_folder(self, folder: impl AsRef<Path>) -> Self {
        Source { folder: Some(Arc::from(folder.as_ref())), ..self }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns a diagnostic at a range of the text; `None` stands for the whole file.
    pub fn diagnose(&self, at: Option<Range<usize>>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.name.clone(), &self.text, at, message)
    }
}

fn read(path: &Path) -> Result<String> {
    let failed = |why: String| Error::invalid(format!("cannot read the flow file {}: {why}", path.display()));
    let about = path.metadata().map_err(|error| failed(error.to_string()).with_hint("check the path"))?;
    if about.is_dir() {
        return Err(failed("it is a folder".to_owned()).with_hint("name a file in it, such as flow.yaml"));
    }
    // Pipes are allowed, because a shell replaces `<(…)` by one. A device may never end.
    if !about.is_file() && !is_pipe(&about) {
        return Err(failed("not a file".to_owned()).with_hint("name a file, such as flow.yaml"));
    }
    let unreadable = |error: io::Error| failed(error.to_string()).with_hint("check its permissions");
    let file = open_nonblocking(OpenOptions::new().read(true), path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(
            failed("it is larger than 4 MiB".to_owned()).with_hint("pass records with --input, not in the flow")
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        failed(format!("line {line} is not UTF-8")).with_hint("save the file as UTF-8")
    })
}
