//! The outputs of a run: a file that appears when it is complete, or a pipe.

mod atomic_output;
mod on_error;
mod outcome_line;
mod writer;
mod writers;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf, is_separator};

use llmspell::{Error, Result};

use crate::file_id::FileId;
use crate::input::Input;
pub use on_error::OnError;
pub(crate) use outcome_line::OutcomeLine;
pub(crate) use writer::WriteEnd;
pub(crate) use writers::Writers;

use atomic_output::{AtomicOutput, Protected};
use llmspell_flow::internal::nonblocking::{is_pipe, open_nonblocking};

/// An output for outcomes, one JSON object per line.
///
/// A file is written as `FILE.partial` and renamed when the run is complete: `FILE` is always whole, and an older
/// `FILE` stays until then. If `FILE` is a link, the link stays, and this applies to its target.
pub struct Output {
    writer: Box<dyn Write + Send>,
    file: Option<AtomicOutput>,
    /// Lines that have not been written. They are kept here, and not in a `BufWriter`, to find the last whole line
    /// after an error.
    buffer: Vec<u8>,
    lines: u64,
    /// The number of lines and bytes that have been written.
    handed_on: (u64, u64),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// The lines that were written, and their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputStats {
    /// The number of lines written.
    pub lines: u64,
    /// The file that has the lines; `None` for a pipe, or if there are no lines.
    pub path: Option<PathBuf>,
}

/// The size of a write.
const BUFFER: usize = 1 << 16;

impl Output {
    /// Creates a file that replaces an existing one when the run is complete.
    ///
    /// An existing `FILE.partial` may be all that is left of an earlier run: it is overwritten only with `force`. A
    /// partial file that a run is still writing is never overwritten.
    ///
    /// # Errors
    /// If the file cannot be written: reported before any work.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Output::create_over(path, force, &[])
    }

    /// Creates a file that is neither the input nor the flow file, whatever their names.
    ///
    /// # Errors
    /// As [`create`](Output::create), and if `FILE` or `FILE.partial` is the input or the flow file.
    pub fn create_protecting(path: &Path, force: bool, input: &Input, flow: &Path) -> Result<Self> {
        let input = input.file.clone().map(|id| (id, "the input"));
        let flow = FileId::at(flow).map(|id| (id, "the flow file"));
        let protected: Vec<_> = input.into_iter().chain(flow).collect();
        Output::create_over(path, force, &protected)
    }

    fn create_over(path: &Path, force: bool, protected: &[Protected<'_>]) -> Result<Self> {
        let shown = path.display();
        let failed = |why: String| Error::invalid(format!("cannot write the output {shown}: {why}"));
        match path.metadata() {
            Ok(about) if about.is_dir() => {
                return Err(failed("it is a folder".to_owned()).with_hint("name a file in it"));
            }
            _ if path.as_os_str().as_encoded_bytes().last().is_some_and(|last| is_separator(char::from(*last))) => {
                let hint = "name a file in it, and create the folder first";
                return Err(failed("it names a folder".to_owned()).with_hint(hint));
            }
            // A device or a named pipe cannot be replaced later.
            Ok(about) if !about.is_file() => {
                let file = open_nonblocking(OpenOptions::new().write(true), path).map_err(|error| {
                    if is_pipe(&about) && error.kind() != io::ErrorKind::PermissionDenied {
                        failed("this pipe has no reader".to_owned()).with_hint("start its reader first")
                    } else {
                        failed(error.to_string()).with_hint("check its permissions")
                    }
                })?;
                return Ok(Output::from_writer(file));
            }
            _ => {}
        }
        let file = AtomicOutput::claim(path, force, protected)?;
        let writer = file.writer().map_err(|error| failed(error.to_string()).with_hint("close other files"))?;
        Ok(Output { file: Some(file), ..Output::from_writer(writer) })
    }

    /// Writes to standard output.
    pub fn stdout() -> Self {
        Output::from_writer(io::stdout())
    }

    /// Writes to standard output, unless it is redirected to the input file: such a run would read its own output
    /// forever.
    ///
    /// # Errors
    /// If standard output is the input.
    pub fn stdout_protecting(input: &Input) -> Result<Self> {
        if input.file.is_some() && input.file == FileId::stdout() {
            let message = format!("standard output is the input, {}", input.name());
            return Err(Error::invalid(message).with_hint("send it to another file"));
        }
        Ok(Output::stdout())
    }

    /// Writes to any writer.
    pub fn from_writer(writer: impl Write + Send + 'static) -> Self {
        Output { writer: Box::new(writer), file: None, buffer: Vec::with_capacity(BUFFER), lines: 0, handed_on: (0, 0) }
    }

    /// Removes a file that has no lines.
    pub fn discard(mut self) {
        // If it cannot be removed, the next run finds it.
        let _ = self.finish(false);
    }

    /// Writes one line.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.buffer.len() + line.len() > BUFFER {
            self.write_buffer()?;
        }
        self.buffer.extend_from_slice(line);
        self.lines += 1;
        Ok(())
    }

    /// Writes the buffer, so that readers see its lines.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write_buffer()?;
        self.writer.flush()
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.handed_on = (self.lines, self.handed_on.1 + self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Ends the output: a complete file gets its name, an incomplete one stays partial, an empty one is removed.
    pub(crate) fn finish(&mut self, complete: bool) -> io::Result<OutputStats> {
        self.flush()?;
        let lines = self.lines;
        let path = match &self.file {
            None => None,
            Some(file) if complete => Some(file.complete()?),
            Some(file) => file.leave(lines)?,
        };
        Ok(OutputStats { lines, path })
    }

    /// After an error: truncates the file after its last whole line; returns what is left. `None` for a pipe, because
    /// it is unknown how much its reader received.
    pub(crate) fn salvage(self) -> io::Result<Option<OutputStats>> {
        let Some(file) = &self.file else { return Ok(None) };
        let (lines, bytes) = self.handed_on;
        // A part of the failed write may have reached the file.
        let arrived = usize::try_from(file.bytes()?.saturating_sub(bytes)).unwrap_or(usize::MAX);
        let arrived = &self.buffer[..arrived.min(self.buffer.len())];
        let whole = arrived.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.cut(bytes + whole as u64)?;
        let lines = lines + arrived.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(Some(OutputStats { lines, path: file.leave(lines)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path, false).unwrap();
        output.write(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        let written = output.finish(true).unwrap();
        assert_eq!(written, OutputStats { lines: 1, path: Some(path.clone()) });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_partial_file_stays_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut output = Output::create(&path, false).unwrap();
        output.write(b"half\n").unwrap();
        assert!(Output::create(&path, true).err().unwrap().message().contains("another run"));
        let partial = output.finish(false).unwrap().path.unwrap();
        drop(output);
        assert_eq!(std::fs::read_to_string(&partial).unwrap(), "half\n");
        assert!(!path.exists());
        assert!(Output::create(&path, false).err().unwrap().hint().unwrap().contains("--force"));
        let empty = Output::create(&path, true).unwrap().finish(false).unwrap();
        assert_eq!(empty, OutputStats { lines: 0, path: None });
        assert!(!partial.exists());
        // Left by a run that was killed before its first line.
        std::fs::write(&partial, "").unwrap();
        assert!(Output::create(&path, false).is_ok());
    }

    #[test]
    fn a_removed_file_does_not_replace_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = Output::create(&path, false).unwrap();
        first.write(b"first\n").unwrap();
        std::fs::remove_file(folder.path().join("out.jsonl.partial")).unwrap();
        let mut second = Output::create(&path, false).unwrap();
        second.write(b"second\n").unwrap();
        assert!(first.finish(true).unwrap_err().to_string().contains("was removed"));
        assert_eq!(first.salvage().unwrap(), Some(OutputStats { lines: 1, path: None }));
        second.finish(true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
    }

    #[test]
    fn a_salvaged_file_ends_with_a_whole_line() {
        for (arrived, lines, text) in [("a\nb\nc", 2, "a\nb\n"), ("a", 0, ""), ("a\nb\ncc\n", 3, "a\nb\ncc\n")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.jsonl");
            let mut output = Output::create(&path, false).unwrap();
            for line in ["a\n", "b\n", "cc\n", "d\n"] {
                output.write(line.as_bytes()).unwrap();
            }
            // As if writing the buffer had failed here.
            output.writer.write_all(arrived.as_bytes()).unwrap();
            let written = output.salvage().unwrap().unwrap();
            assert_eq!((written.lines, written.path.is_some()), (lines, lines > 0));
            let left = std::fs::read_to_string(folder.path().join("out.jsonl.partial")).unwrap_or_default();
            assert_eq!(left, text);
        }
    }

    #[test]
    fn unwritable_paths_are_rejected_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("no/such/folder.jsonl"), PathBuf::from("/")] {
            assert!(Output::create(&path, false).is_err(), "{}", path.display());
        }
    }
}
