//! Where outcomes go: a file that appears when it is complete, or a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use llmspell::{Error, Result};

/// Outcomes to be written, one JSON object a line.
///
/// A file is written beside its place, as `FILE.partial`, and takes its place when the run is complete: what stands
/// under `FILE` is always whole, and an older `FILE` stays until then.
pub struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    place: Option<Place>,
    lines: u64,
}

/// Where a file will be, and where it is until then.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    partial: PathBuf,
}

/// What became of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many lines were written.
    pub lines: u64,
    /// The file they are in; `None` for a pipe, or if there is nothing to keep.
    pub path: Option<PathBuf>,
}

impl Output {
    /// A file. What stands there is replaced when the run is complete.
    ///
    /// A `FILE.partial` that is already there may be all that is left of an earlier run, or belong to one that is still
    /// going on: it is overwritten only if `force` says so.
    ///
    /// # Errors
    /// If the file cannot be written, so that no work is done in vain.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let shown = path.display();
        let failed = |why: String| Error::invalid(format!("cannot write the output {shown}: {why}"));
        match path.metadata() {
            Ok(about) if about.is_dir() => {
                return Err(failed("it is a folder".to_owned()).with_hint("name a file in it"));
            }
            // A device or a pipe with a name: there is nothing to take its place later.
            Ok(about) if !about.is_file() => {
                let file = OpenOptions::new().write(true).open(path);
                let file = file.map_err(|error| failed(error.to_string()).with_hint("check its permissions"))?;
                return Ok(Output::from_writer(file));
            }
            _ => {}
        }
        let Some(name) = path.file_name() else {
            return Err(failed("it names no file".to_owned()).with_hint("give a name, such as out.jsonl"));
        };
        let mut partial = name.to_owned();
        partial.push(".partial");
        let place = Place { path: path.to_owned(), partial: path.with_file_name(partial) };
        let mut options = OpenOptions::new();
        let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
        let file = options.write(true).open(&place.partial).map_err(|error| {
            let partial = place.partial.display();
            match error.kind() {
                io::ErrorKind::AlreadyExists => failed(format!("{partial} is already there")).with_hint(
                    "an interrupted run left it, or another one is writing it; remove it, or overwrite it with --force",
                ),
                io::ErrorKind::NotFound => {
                    failed("its folder does not exist".to_owned()).with_hint("create the folder first")
                }
                _ => failed(error.to_string()).with_hint("check the permissions of its folder"),
            }
        })?;
        Ok(Output { place: Some(place), ..Output::from_writer(file) })
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Output::from_writer(io::stdout())
    }

    /// Anything that can be written.
    pub fn from_writer(writer: impl Write + Send + 'static) -> Self {
        Output { writer: BufWriter::with_capacity(1 << 16, Box::new(writer)), place: None, lines: 0 }
    }

    /// Writes one line.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.writer.write_all(line)?;
        self.lines += 1;
        Ok(())
    }

    /// Hands on what is buffered, so that whoever reads along sees it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Ends the output: a complete file takes its place, an incomplete one stays where it is, an empty one goes.
    pub(crate) fn finish(mut self, complete: bool) -> io::Result<Written> {
        self.writer.flush()?;
        let Some(place) = self.place.take() else {
            return Ok(Written { lines: self.lines, path: None });
        };
        drop(self.writer);
        if complete {
            // The name must not reach the disk before what it names.
            File::open(&place.partial)?.sync_all()?;
            std::fs::rename(&place.partial, &place.path)?;
            return Ok(Written { lines: self.lines, path: Some(place.path) });
        }
        if self.lines == 0 {
            std::fs::remove_file(&place.partial)?;
            return Ok(Written { lines: 0, path: None });
        }
        Ok(Written { lines: self.lines, path: Some(place.partial) })
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
        let partial = output.finish(false).unwrap().path.unwrap();
        assert_eq!(std::fs::read_to_string(&partial).unwrap(), "half\n");
        assert!(!path.exists());
        assert!(Output::create(&path, false).err().unwrap().hint().unwrap().contains("--force"));
        let empty = Output::create(&path, true).unwrap().finish(false).unwrap();
        assert_eq!(empty, Written { lines: 0, path: None });
        assert!(!partial.exists());
    }

    #[test]
    fn places_that_cannot_be_written_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("no/such/folder.jsonl"), PathBuf::from("/")] {
            assert!(Output::create(&path, false).is_err(), "{}", path.display());
        }
    }
}
