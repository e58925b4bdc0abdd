//! Access to files within the permissions, safe against races from the check to the last byte.
//!
//! A path is resolved, checked, and then opened from the root down, refusing every symbolic link. The checked path has
//! no links left, so a link on the way was put there in between. Everything else happens relative to the open folder.
//! Changing links while a tool works cannot lead it outside its permissions.

#[cfg(unix)]
mod dirfd;
#[cfg(not(unix))]
#[path = "dir/path.rs"]
mod dirfd;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use llmspell::{Error, Result};

use crate::permission::resolved_in_part;

pub(super) use dirfd::Folder;

/// The kind of a directory entry. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    File {
        bytes: u64,
    },
    Folder,
    Link,
    /// A pipe, socket or device.
    Other,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenMode {
    Read,
    /// For appending; created if missing.
    Append,
    /// For writing; must not exist.
    New,
}

impl Folder {
    /// Returns the folder of a file, and the file's name in it.
    pub(super) fn of(resolved: &Path) -> io::Result<(Folder, &OsStr)> {
        let (Some(folder), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        };
        Ok((Folder::open(folder)?, name))
    }
}

/// Returns a path without symbolic links if `allows` accepts it. A path outside the permissions is refused in the same
/// way whether it exists or not.
pub(super) fn resolved(path: &Path, doing: &str, allows: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let failure = match path.canonicalize() {
        Ok(resolved) => return allows(&resolved).map(|()| resolved),
        Err(failure) => failure,
    };
    allows(&resolved_in_part(path).unwrap_or_else(|_| path.to_owned()))?;
    Err(failed(path, doing, failure))
}

/// Turns a system error into ours, with a hint where one helps.
pub(super) fn failed(path: &Path, doing: &str, error: io::Error) -> Error {
    let kind = error.kind();
    let made = Error::failed(format!("cannot {doing} {}: {error}", path.display())).with_source(error).permanent();
    match kind {
        io::ErrorKind::NotFound if path.is_relative() => {
            made.with_hint("relative paths start at the working directory of the run")
        }
        io::ErrorKind::NotADirectory => {
            made.with_hint("make every part of the path a folder; links that appear during the call are refused")
        }
        _ => made,
    }
}

/// Opens a resolved path if it is a regular file. A pipe would wait for a writer, and a device may never end.
pub(super) fn open(resolved: &Path) -> io::Result<File> {
    let (folder, name) = Folder::of(resolved)?;
    let file = folder.file(name, OpenMode::Read)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"))
}
