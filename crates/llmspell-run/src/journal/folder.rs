//! The folder of journals, `.llmspell/runs`: one file per run, and a lock for the process that writes it.

use std::fs::{DirBuilder, DirEntry, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use llmspell::{Error, Result};

use super::fault::io_fault;
use crate::file_id::is_at;

/// The right to write a journal. Only one process can hold it, and the system releases it when that process ends,
/// however it ends.
pub(super) struct Lock(#[allow(dead_code, reason = "held, never read")] File);

/// Whether a text is valid as the name of a run, which is also a file name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Returns the name of a flow in the form that the name of a run allows.
pub(super) fn sanitized(flow: &str) -> String {
    let sanitized = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = flow.chars().map(sanitized).take(64).collect();
    if name.is_empty() { "flow".to_owned() } else { name }
}

/// Splits the name of a run into the name of the flow and the number.
pub(super) fn number(name: &str) -> Option<(&str, u64)> {
    let (flow, number) = name.rsplit_once('-')?;
    Some((flow, number.parse().ok()?))
}

pub(super) fn db_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.db"))
}

fn lock_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.lock"))
}

/// Creates the folder for this user alone, and excludes it from version control. An existing folder that is empty or
/// holds other files than runs belongs to someone else, and is left alone.
pub(super) fn create(folder: &Path) -> Result<()> {
    let failed = |error| io_fault("creating the folder for journals,", folder, error);
    let kept_out = folder.join(".gitignore");
    if kept_out.exists() {
        return Ok(());
    }
    if folder.is_dir() {
        let mut holds_a_run = false;
        for entry in folder.read_dir().map_err(failed)? {
            let name = entry.ok().and_then(|entry| entry.file_name().into_string().ok());
            if !name.is_some_and(|name| is_run_file(&name)) {
                return Ok(());
            }
            holds_a_run = true;
        }
        if !holds_a_run {
            return Ok(());
        }
    } else {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    let made = private().create(true).truncate(true).open(kept_out);
    made.and_then(|mut file| file.write_all(b"*\n")).map_err(failed)
}

/// Whether a file belongs to a run, by its name: `NAME-N.db` and its companions.
fn is_run_file(file: &str) -> bool {
    ENDINGS.iter().filter_map(|ending| file.strip_suffix(ending)).any(|name| is_name(name) && number(name).is_some())
}

/// Acquires the lock of a run; returns `None` if another process holds it.
pub(super) fn try_lock(folder: &Path, name: &str) -> Result<Option<Lock>> {
    let path = lock_file(folder, name);
    let opened = || private().create(true).truncate(false).open(&path);
    for wait in WAITS {
        std::thread::park_timeout(wait);
        let file = opened().map_err(|error| io_fault("locking", &path, error))?;
        match file.try_lock() {
            // Not if the file was removed meanwhile: the next process would lock another file.
            Ok(()) if is_at(&file, &path) => return Ok(Some(Lock(file))),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                let message = format!("locking {} failed: {error}", path.display());
                let hint = "set --state to a folder on a local disk: two processes must not write one journal";
                return Err(Error::failed(message).with_hint(hint));
            }
        }
    }
    Ok(None)
}

/// The pauses between attempts. A lock may be held for only a moment: by a process that checks whether it is free, or
/// by a child process that inherited it while being started.
const WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(50)];

/// Whether a process holds the lock of a run. Creates no file.
pub(super) fn is_locked(folder: &Path, name: &str) -> bool {
    let Ok(file) = File::open(lock_file(folder, name)) else { return false };
    WAITS[..3].iter().all(|wait| {
        std::thread::park_timeout(*wait);
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    })
}

/// Creates a run: its name, its lock, and an empty file that only this user can read.
pub(super) fn create_run(folder: &Path, flow: &str) -> Result<(String, Lock, PathBuf)> {
    create(folder)?;
    let flow = sanitized(flow);
    let last =
        names(folder)?.iter().filter_map(|name| number(name)).filter(|(of, _)| *of == flow).map(|(_, n)| n).max();
    let mut n = last.unwrap_or(0);
    loop {
        n += 1;
        let name = format!("{flow}-{n}");
        // The process that creates the file first has the name; the other one tries the next number.
        let Some(lock) = try_lock(folder, &name)? else { continue };
        let path = db_path(folder, &name);
        match private().create_new(true).open(&path) {
            Ok(_) => return Ok((name, lock, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_fault("creating", &path, error)),
        }
    }
}

/// Returns the entries of a folder, in no order; none if the folder does not exist.
fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    let failed = |error| io_fault("reading the folder", folder, error);
    match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(failed)?.collect::<io::Result<_>>().map_err(failed),
    }
}

/// Returns the names of all runs with a journal, in no order.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".db"))
            && is_name(name)
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Returns the names of runs whose journals are gone but whose locks are left, in no order. That happens when a
/// process is killed while it removes a run, or when a user deletes only the journal. Only empty lock files count;
/// files of other programs are not touched.
pub(super) fn orphaned_locks(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in entries(folder)? {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".lock")) else { continue };
        let is_lock = number(name).is_some() && entry.metadata().is_ok_and(|about| about.is_file() && about.len() == 0);
        if is_name(name) && is_lock && !db_path(folder, name).exists() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Returns the size of all files of a run.
pub(super) fn size(folder: &Path, name: &str) -> u64 {
    run_files(folder, name).iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum()
}

/// Removes a run whose lock the caller holds.
pub(super) fn remove(folder: &Path, name: &str, lock: Lock) -> Result<()> {
    for path in run_files(folder, name) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_fault("removing", &path, error)),
            _ => {}
        }
    }
    drop(lock);
    Ok(())
}

/// The lock comes last: while it exists, the other files may exist, too.
fn run_files(folder: &Path, name: &str) -> [PathBuf; 4] {
    ENDINGS.map(|ending| folder.join(format!("{name}{ending}")))
}

const ENDINGS: [&str; 4] = [".db", ".db-wal", ".db-shm", ".lock"];

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
