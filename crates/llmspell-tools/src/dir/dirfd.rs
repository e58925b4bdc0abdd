//! A folder behind an open handle, which stays the same folder when its name changes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use super::{FileKind, OpenMode};

/// Flags that open a folder for traversal without reading it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PASS: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PASS: OFlags = OFlags::RDONLY;

/// A folder, held open by its handle.
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder by its absolute path. A symbolic link on the way is an error.
    pub(crate) fn open(resolved: &Path) -> io::Result<Self> {
        let mut folder = Folder(rustix::fs::openat(CWD, "/", flags(PASS | OFlags::DIRECTORY), Mode::empty())?);
        for part in resolved.components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) => folder = folder.sub(name)?,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is not resolved")),
            }
        }
        Ok(folder)
    }

    /// Opens a folder in this one.
    pub(crate) fn sub(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Folder(rustix::fs::openat(&self.0, name, flags(PASS | OFlags::DIRECTORY), Mode::empty())?))
    }

    /// Opens a file without blocking on the other end of a pipe.
    pub(crate) fn file(&self, name: &OsStr, how: OpenMode) -> io::Result<File> {
        let how = match how {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
            OpenMode::New => OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        };
        let opened = rustix::fs::openat(&self.0, name, flags(how | OFlags::NONBLOCK), Mode::from_raw_mode(0o666))?;
        Ok(File::from(opened))
    }

    pub(crate) fn kind(&self, name: &OsStr) -> io::Result<FileKind> {
        let about = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => FileKind::File { bytes: u64::try_from(about.st_size).unwrap_or(0) },
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        })
    }

    /// Returns the names in the folder, in no order.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let readable = rustix::fs::openat(&self.0, ".", flags(OFlags::RDONLY | OFlags::DIRECTORY), Mode::empty())?;
        let entries = Dir::new(readable)?.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        });
        Ok(entries.filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == "..")))
    }

    /// Creates a folder in this one unless it exists.
    pub(crate) fn make(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            made => Ok(made?),
        }
    }

    /// Renames a file, replacing any file of that name.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives a file another name, which must be free.
    pub(crate) fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty())?;
        self.remove(from)
    }

    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Waits until the names in the folder are on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let readable = rustix::fs::openat(&self.0, ".", flags(OFlags::RDONLY | OFlags::DIRECTORY), Mode::empty())?;
        Ok(rustix::fs::fsync(readable)?)
    }
}

fn flags(more: OFlags) -> OFlags {
    more | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY
}
