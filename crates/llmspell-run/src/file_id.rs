//! The identity of a file, independent of its name.

use std::fs::File;
use std::path::Path;

/// The identity of a regular file. Names are not enough: links lead elsewhere, and one file can have several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId(Id);

/// The device and the inode number.
#[cfg(unix)]
type Id = (u64, u64);

/// The path without links, the best there is elsewhere.
#[cfg(not(unix))]
type Id = std::path::PathBuf;

#[cfg(unix)]
impl FileId {
    /// Returns the identity of the regular file at a path; follows links.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        FileId::of(&path.metadata().ok()?)
    }

    pub(crate) fn stdin() -> Option<Self> {
        FileId::open(std::io::stdin())
    }

    pub(crate) fn stdout() -> Option<Self> {
        FileId::open(std::io::stdout())
    }

    fn open(file: impl std::os::fd::AsFd) -> Option<Self> {
        let file = File::from(file.as_fd().try_clone_to_owned().ok()?);
        FileId::of(&file.metadata().ok()?)
    }

    fn of(about: &std::fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        about.is_file().then(|| FileId((about.dev(), about.ino())))
    }
}

#[cfg(not(unix))]
impl FileId {
    pub(crate) fn at(path: &Path) -> Option<Self> {
        path.is_file().then(|| path.canonicalize().ok()).flatten().map(FileId)
    }

    pub(crate) fn stdin() -> Option<Self> {
        None
    }

    pub(crate) fn stdout() -> Option<Self> {
        None
    }
}

/// Whether the path still names this file, and not another one that has replaced it.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let Ok(about) = path.symlink_metadata() else { return false };
    #[cfg(unix)]
    return FileId::of(&about).is_some_and(|there| FileId::open(file) == Some(there));
    #[cfg(not(unix))]
    return about.is_file() && file.metadata().is_ok();
}
