//! Where outcomes go: a file that appears when it is complete, or a pipe.

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
pub(crate) use writer::Ended;
pub(crate) use writers::Writers;

use atomic_output::{Place, Spared};
use llmspell_flow::internal::nonblocking::{is_pipe, open_nonblocking};

/// Outcomes to be written, one JSON object a line.
///
/// A file is written beside its place, as `FILE.partial`, and takes its place when the run is complete: what stands
/// under `FILE` is always whole, and an older `FILE` stays until then. Where `FILE` is a link, the link stays and this
/// holds for where it leads.
pub struct Output {
    writer: Box<dyn Write + Send>,
    place: Option<Place>,
    /// Lines that have not been handed on. They are kept here, and not in a `BufWriter`, to tell after an error how
    /// far whole lines go.
    buffer: Vec<u8>,
    lines: u64,
    /// How many lines and bytes have been handed on.
    out: (u64, u64),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// What became of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many lines were written.
    pub lines: u64,
    /// The file they are in; `None` for a pipe, or if there is nothing to keep.
    pub path: Option<PathBuf>,
}

/// So much is handed on at once.
const BUFFER: usize = 1 << 16;

impl Output {
    /// A file. What stands there is replaced when the run is complete.
    ///
    /// A `FILE.partial` that is already there may be all that is left of an earlier run: it is overwritten only if
    /// `force` says so. One that a run is still writing is never overwritten.
    ///
    /// # Errors
    /// If the file cannot be written, so that no work is done in vain.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Output::create_over(path, force, &[])
    }

    /// A file that is neither the input nor the flow file, whatever they are called.
    ///
    /// # Errors
    /// As [`create`](Output::create), and if `FILE` or `FILE.partial` is the input or the flow file.
    pub fn create_sparing(path: &Path, force: bool, input: &Input, flow: &Path) -> Result<Self> {
        let input = input.file.clone().map(|id| (id, "the input"));
        let flow = FileId::at(flow).map(|id| (id, "the flow file"));
        let spared: Vec<_> = input.into_iter().chain(flow).collect();
        Output::create_over(path, force, &spared)
    }

    fn create_over(path: &Path, force: bool, spared: &[Spared<'_>]) -> Result<Self> {
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
            // A device or a pipe with a name: there is nothing to take its place later.
            Ok(about) if !about.is_file() => {
                let file = open_nonblocking(OpenOptions::new().write(true), path).map_err(|error| {
                    if is_pipe(&about) && error.kind() != io::ErrorKind::PermissionDenied {
                        failed("nobody reads this pipe".to_owned()).with_hint("start its reader first")
                    } else {
                        failed(error.to_string()).with_hint("check its permissions")
                    }
                })?;
                return Ok(Output::from_writer(file));
            }
            _ => {}
        }
        let place = Place::claim(path, force, spared)?;
        let writer = place.writer().map_err(|error| failed(error.to_string()).with_hint("close other files"))?;
        Ok(Output { place: Some(place), ..Output::from_writer(writer) })
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Output::from_writer(io::stdout())
    }

    /// Standard output, unless it goes into the file that is the input: such a run would feed on itself, without end.
    ///
    /// # Errors
    /// If that is so.
    pub fn stdout_sparing(input: &Input) -> Result<Self> {
        if input.file.is_some() && input.file == FileId::stdout() {
            let message = format!("standard output goes into the input, {}", input.name());
            return Err(Error::invalid(message).with_hint("send it to another file"));
        }
        Ok(Output::stdout())
    }

    /// Anything that can be written.
    pub fn from_writer(writer: impl Write + Send + 'static) -> Self {
        Output { writer: Box::new(writer), place: None, buffer: Vec::with_capacity(BUFFER), lines: 0, out: (0, 0) }
    }

    /// Takes back a file that nothing was written to.
    pub fn discard(mut self) {
        // One that cannot be removed is found by the next run.
        let _ = self.finish(false);
    }

    /// Writes one line.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.buffer.len() + line.len() > BUFFER {
            self.hand_on()?;
        }
        self.buffer.extend_from_slice(line);
        self.lines += 1;
        Ok(())
    }

    /// Hands on what is buffered, so that whoever reads along sees it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.writer.flush()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.out = (self.lines, self.out.1 + self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Ends the output: a complete file takes its place, an incomplete one stays where it is, an empty one goes.
    pub(crate) fn finish(&mut self, complete: bool) -> io::Result<Written> {
        self.flush()?;
        let lines = self.lines;
        let path = match &self.place {
            None => None,
            Some(place) if complete => Some(place.complete()?),
            Some(place) => place.leave(lines)?,
        };
        Ok(Written { lines, path })
    }

    /// After an error: cuts the file after its last whole line, and says what is left. `None` for a pipe, of which
    /// nobody knows what its reader has got.
    pub(crate) fn salvage(self) -> io::Result<Option<Written>> {
        let Some(place) = &self.place else { return Ok(None) };
        let (lines, bytes) = self.out;
        // What was being handed on when it failed may have arrived in part.
        let arrived = usize::try_from(place.bytes()?.saturating_sub(bytes)).unwrap_or(usize::MAX);
        let arrived = &self.buffer[..arrived.min(self.buffer.len())];
        let whole = arrived.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        place.cut(bytes + whole as u64)?;
        let lines = lines + arrived.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(Some(Written { lines, path: place.leave(lines)? }))
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
        assert_eq!(written, Written { lines: 1, path: Some(path.clone()) });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_incomplete_keeps_its_name_and_is_not_overwritten() {
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
        assert_eq!(empty, Written { lines: 0, path: None });
        assert!(!partial.exists());
        // Left by a run that was killed before its first line.
        std::fs::write(&partial, "").unwrap();
        assert!(Output::create(&path, false).is_ok());
    }

    #[test]
    fn a_file_that_was_taken_away_does_not_take_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = Output::create(&path, false).unwrap();
        first.write(b"first\n").unwrap();
        std::fs::remove_file(folder.path().join("out.jsonl.partial")).unwrap();
        let mut second = Output::create(&path, false).unwrap();
        second.write(b"second\n").unwrap();
        assert!(first.finish(true).unwrap_err().to_string().contains("was taken away"));
        assert_eq!(first.salvage().unwrap(), Some(Written { lines: 1, path: None }));
        second.finish(true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
    }

    #[test]
    fn what_is_salvaged_ends_with_a_whole_line() {
        for (arrived, lines, text) in [("a\nb\nc", 2, "a\nb\n"), ("a", 0, ""), ("a\nb\ncc\n", 3, "a\nb\ncc\n")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.jsonl");
            let mut output = Output::create(&path, false).unwrap();
            for line in ["a\n", "b\n", "cc\n", "d\n"] {
                output.write(line.as_bytes()).unwrap();
            }
            // As if handing on had failed here.
            output.writer.write_all(arrived.as_bytes()).unwrap();
            let written = output.salvage().unwrap().unwrap();
            assert_eq!((written.lines, written.path.is_some()), (lines, lines > 0));
            let left = std::fs::read_to_string(folder.path().join("out.jsonl.partial")).unwrap_or_default();
            assert_eq!(left, text);
        }
    }

    #[test]
    fn places_that_cannot_be_written_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("no/such/folder.jsonl"), PathBuf::from("/")] {
            assert!(Output::create(&path, false).is_err(), "{}", path.display());
        }
    }
}
