//! A folder by its path, for systems without directory handles. A process that can change links while a tool works can
//! win a race against it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{FileKind, OpenMode};

/// A folder, identified by its path.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens a folder by its absolute path. A symbolic link on the way is an error.
    pub(crate) fn open(resolved: &Path) -> io::Result<Self> {
        if resolved.canonicalize()? == resolved && resolved.is_dir() {
            return Ok(Folder(resolved.to_owned()));
        }
        Err(io::ErrorKind::NotADirectory.into())
    }

    /// Opens a folder in this one.
    pub(crate) fn sub(&self, name: &OsStr) -> io::Result<Self> {
        Folder::open(&self.0.join(name))
    }

    /// Opens a file.
    pub(crate) fn file(&self, name: &OsStr, how: OpenMode) -> io::Result<File> {
        let path = self.0.join(name);
        if path.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link"));
        }
        match how {
            OpenMode::Read => File::open(path),
            OpenMode::Append => OpenOptions::new().append(true).create(true).open(path),
            OpenMode::New => OpenOptions::new().write(true).create_new(true).open(path),
        }
    }

    pub(crate) fn kind(&self, name: &OsStr) -> io::Result<FileKind> {
        let about = self.0.join(name).symlink_metadata()?;
        Ok(match about.file_type() {
            kind if kind.is_file() => FileKind::File { bytes: about.len() },
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Other,
        })
    }

    /// Returns the names in the folder, in no order.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        Ok(self.0.read_dir()?.map(|entry| Ok(entry?.file_name())))
    }

    /// Creates a folder in this one unless it exists.
    pub(crate) fn make(&self, name: &OsStr) -> io::Result<()> {
        match fs::create_dir(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Renames a file, replacing any file of that name.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Gives a file another name, which must be free.
    pub(crate) fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::hard_link(self.0.join(from), self.0.join(to))?;
        self.remove(from)
    }

    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// Waits until the names in the folder are on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
