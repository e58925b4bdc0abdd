//! The text of a flow file, and where it lies.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use llmspell::{Error, Result};

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::nonblocking::{is_pipe, open_at_once};

/// The text of a flow file, with the name that its user knows it by.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    folder: Option<Arc<Path>>,
}

/// No flow file is larger than this.
const LARGEST: u64 = 4 << 20;

impl Source {
    /// A text with a name, such as the path of its file. It lies in no folder: it can have no prompts in files, and
    /// what it asks to read and to write is relative to the folder that the program runs in.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Source { name: name.into(), text: text.into(), folder: None }
    }

    /// A file, with its path as its name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if it cannot be read, is no UTF-8, or larger than 4 MiB.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Source::new(path.display().to_string(), text).in_folder(folder))
    }

    /// The folder that the text lies in: prompts and what the flow asks for are relative to it.
    pub fn in_folder(self, folder: impl AsRef<Path>) -> Self {
        Source { folder: Some(Arc::from(folder.as_ref())), ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// A problem at a part of the text; none if it concerns the file as a whole.
    pub fn diagnose(&self, at: Option<Range<usize>>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self, at, message)
    }
}

fn read(path: &Path) -> Result<String> {
    let failed = |why: String| Error::invalid(format!("cannot read the flow file {}: {why}", path.display()));
    let about = path.metadata().map_err(|error| failed(error.to_string()).with_hint("check the path"))?;
    if about.is_dir() {
        return Err(failed("it is a folder".to_owned()).with_hint("name a file in it, such as flow.yaml"));
    }
    // A pipe may be what a shell makes of `<(…)`; a device may never end.
    if !about.is_file() && !is_pipe(&about) {
        return Err(failed("it is no file".to_owned()).with_hint("name a file, such as flow.yaml"));
    }
    let unreadable = |error: io::Error| failed(error.to_string()).with_hint("check its permissions");
    let file = open_at_once(OpenOptions::new().read(true), path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(
            failed("it is larger than 4 MiB".to_owned()).with_hint("records belong into --input, not into the flow")
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        failed(format!("line {line} is not UTF-8")).with_hint("save the file as UTF-8")
    })
}
