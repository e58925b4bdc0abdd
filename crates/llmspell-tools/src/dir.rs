//! Files inside of what is allowed, from the check to the last byte.
//!
//! A path is resolved, checked, and then opened from the root down, refusing every symbolic link: what has been checked
//! has none left, so one that is met was put there in between. Everything else happens relative to the folder that is
//! open then. Nobody can make a tool leave what is allowed by changing links while it works.

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

/// What stands under a name in a folder; links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    File {
        bytes: u64,
    },
    Folder,
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Read,
    /// At its end, made if there is none.
    Append,
    /// Only if there is none.
    New,
}

impl Folder {
    /// The folder of a file, and the name of the file in it.
    pub(super) fn of(resolved: &Path) -> io::Result<(Folder, &OsStr)> {
        let (Some(folder), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        };
        Ok((Folder::open(folder)?, name))
    }
}

/// A path without symbolic links, if `allows` has no objection. What lies outside of what is allowed is refused in the
/// same way whether it exists or not.
pub(super) fn resolved(path: &Path, doing: &str, allows: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let failure = match path.canonicalize() {
        Ok(resolved) => return allows(&resolved).map(|()| resolved),
        Err(failure) => failure,
    };
    allows(&resolved_in_part(path).unwrap_or_else(|_| path.to_owned()))?;
    Err(failed(path, doing, failure))
}

/// What the system says, with what may help.
pub(super) fn failed(path: &Path, doing: &str, error: io::Error) -> Error {
    let kind = error.kind();
    let made = Error::failed(format!("cannot {doing} {}: {error}", path.display())).with_source(error).permanent();
    match kind {
        io::ErrorKind::NotFound if path.is_relative() => {
            made.with_hint("relative paths begin at the folder that the run was started in")
        }
        io::ErrorKind::NotADirectory => {
            made.with_hint("a folder on the way to it was replaced by a link meanwhile, or is none")
        }
        _ => made,
    }
}

/// Opens what has been resolved, if it is a file: a pipe would wait for a writer, a device may never end.
pub(super) fn open(resolved: &Path) -> io::Result<File> {
    let (folder, name) = Folder::of(resolved)?;
    let file = folder.file(name, How::Read)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
}
