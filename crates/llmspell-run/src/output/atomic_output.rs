//! A file that appears under its name only when it is complete.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use llmspell::{Error, Result};

use crate::file_id::{FileId, is_at};

/// `FILE`, and `FILE.partial`, which belongs to this run alone: it is locked until it is renamed.
pub(super) struct AtomicOutput {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

/// A file that must not be overwritten, and its role in the run.
pub(super) type Protected<'a> = (FileId, &'a str);

/// The number of links that systems follow.
const LINKS: usize = 40;

impl AtomicOutput {
    /// Creates `FILE.partial`; an existing one is removed only with `force`, and only if no run is writing it.
    pub(super) fn claim(path: &Path, force: bool, protected: &[Protected<'_>]) -> Result<Self> {
        let failed = |why: String| Error::invalid(format!("cannot write the output {}: {why}", path.display()));
        let named = |path: &Path| path.file_name().map(OsStr::to_owned);
        let path =
            resolve_links(path).map_err(|error| failed(error.to_string()).with_hint("check where the link leads"))?;
        let Some(mut name) = named(&path) else {
            return Err(failed("its path has no file name".to_owned()).with_hint("give a name, such as out.jsonl"));
        };
        name.push(".partial");
        let partial = path.with_file_name(name);
        for (id, what) in protected {
            let why = if FileId::at(&path).as_ref() == Some(id) {
                format!("it is {what}")
            } else if FileId::at(&partial).as_ref() == Some(id) {
                format!("it is written as {} first, and that is {what}", partial.display())
            } else {
                continue;
            };
            return Err(failed(why).with_hint("give the output another name"));
        }
        let file = create_partial(&partial, force).map_err(|error| {
            let partial = partial.display();
            match error.kind() {
                io::ErrorKind::WouldBlock => failed(format!("another run is writing {partial}"))
                    .with_hint("wait until it has ended, or give the output another name"),
                io::ErrorKind::AlreadyExists => failed(format!("{partial} is already there"))
                    .with_hint(
                        "an interrupted run left it: resume that run with `llmspell resume`, or overwrite it with --force",
                    )
                    .with_source(error),
                io::ErrorKind::NotFound => {
                    failed("its folder does not exist".to_owned()).with_hint("create the folder first")
                }
                io::ErrorKind::NotADirectory => {
                    failed("a part of its path is not a folder".to_owned()).with_hint("check the path")
                }
                _ => failed(error.to_string()).with_hint("check the permissions of its folder"),
            }
        })?;
        Ok(AtomicOutput { path, partial, file })
    }

    /// Returns a writer to the partial file.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Renames the complete file.
    pub(super) fn complete(&self) -> io::Result<PathBuf> {
        // The name must not reach the disk before the content.
        self.file.sync_all()?;
        // Another process may have replaced the file.
        if !is_at(&self.file, &self.partial) {
            return Err(io::Error::other(format!("{} was removed during the run", self.partial.display())));
        }
        std::fs::rename(&self.partial, &self.path)?;
        // The journal must not say that the run is complete before the name is on disk.
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // Some file systems cannot sync a folder; then the name is as safe as they make it.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(self.path.clone())
    }

    /// Keeps an incomplete file as it is, unless it is empty.
    pub(super) fn leave(&self, lines: u64) -> io::Result<Option<PathBuf>> {
        if !is_at(&self.file, &self.partial) {
            return Ok(None);
        }
        if lines == 0 {
            std::fs::remove_file(&self.partial)?;
            return Ok(None);
        }
        Ok(Some(self.partial.clone()))
    }

    /// Returns the number of bytes in the file.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Truncates the file.
    pub(super) fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

/// Follows links, even to a file that does not exist: the partial file is written beside the target, and the link
/// stays.
fn resolve_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if !path.is_symlink() {
            return Ok(path);
        }
        let target = path.read_link()?;
        path = path.parent().map_or(target.clone(), |folder| folder.join(target));
    }
    Err(io::Error::other("its links form a cycle"))
}

/// Creates and locks the partial file. Only the holder of its lock may remove a file, so two runs never share one.
fn create_partial(partial: &Path, force: bool) -> io::Result<File> {
    // An empty file has nothing to lose: its run was killed before it had written a line.
    let nothing = partial.symlink_metadata().is_ok_and(|about| about.is_file() && about.len() == 0);
    // Held until the new file is locked.
    let old = if force || nothing { remove_old(partial)? } else { None };
    let made = OpenOptions::new().write(true).create_new(true).open(partial);
    let file = made.map_err(|error| match error.kind() {
        // If the existing file is locked, its run was not interrupted.
        io::ErrorKind::AlreadyExists if is_locked(partial) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })?;
    lock(&file)?;
    drop(old);
    if is_at(&file, partial) { Ok(file) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// Removes the existing file: a link but not its target; a regular file only under its lock.
fn remove_old(partial: &Path) -> io::Result<Option<File>> {
    let about = match partial.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let old = if about.is_file() {
        let old = OpenOptions::new().write(true).open(partial)?;
        lock(&old)?;
        if !is_at(&old, partial) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Some(old)
    } else {
        None
    };
    std::fs::remove_file(partial)?;
    Ok(old)
}

fn is_locked(partial: &Path) -> bool {
    let is_file = partial.symlink_metadata().is_ok_and(|about| about.is_file());
    is_file && File::open(partial).is_ok_and(|file| lock(&file).is_err())
}

/// Fails only if another process holds the lock: a file system without locks is written all the same.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}
