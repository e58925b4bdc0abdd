//! Where journals lie: `.llmspell/runs`, one file a run, and which process has which.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use llmspell::{Error, Result};

use super::fault::io_fault;
use crate::file_id::is_at;

/// The right to write a journal: while a process has it, no other one gets it, and when it ends, however it ends, the
/// system takes it back.
pub(super) struct Lock(#[allow(dead_code, reason = "it is held, not looked at")] File);

/// The name of a run is that of a file, too.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The name of a flow as part of the name of a run.
pub(super) fn sanitized(flow: &str) -> String {
    let sanitized = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = flow.chars().map(sanitized).take(64).collect();
    if name.is_empty() { "flow".to_owned() } else { name }
}

/// The number at the end of the name of a run.
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

/// Makes the folder, for this user alone, and keeps what is in it out of version control; not if it was there and holds
/// nothing, or other things than runs, for then it is somebody else's.
pub(super) fn create(folder: &Path) -> Result<()> {
    let failed = |error| io_fault("making the folder for journals,", folder, error);
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

/// Whether a file belongs to a run, by its name: `NAME-N.db_path` and its like.
fn is_run_file(file: &str) -> bool {
    ENDINGS.iter().filter_map(|ending| file.strip_suffix(ending)).any(|name| is_name(name) && number(name).is_some())
}

/// Takes the lock of a run; `None` if another process has it.
pub(super) fn try_lock(folder: &Path, name: &str) -> Result<Option<Lock>> {
    let path = lock_file(folder, name);
    let opened = || private().create(true).truncate(false).open(&path);
    for wait in WAITS {
        std::thread::park_timeout(wait);
        let file = opened().map_err(|error| io_fault("locking", &path, error))?;
        match file.try_lock() {
            // Not if it was removed meanwhile: the next one would lock another file.
            Ok(()) if is_at(&file, &path) => return Ok(Some(Lock(file))),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                let message = format!("locking {} failed: {error}", path.display());
                let hint = "give --state a folder on a local disk: two processes must not write one journal";
                return Err(Error::failed(message).with_hint(hint));
            }
        }
    }
    Ok(None)
}

/// Who has a lock may have it for a moment only: to look whether it is free, or because a program that is just being
/// started has got it from its parent.
const WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(50)];

/// Whether a process has the lock of a run. Makes no file.
pub(super) fn is_locked(folder: &Path, name: &str) -> bool {
    let Ok(file) = File::open(lock_file(folder, name)) else { return false };
    WAITS[..3].iter().all(|wait| {
        std::thread::park_timeout(*wait);
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    })
}

/// A new run: its name, its lock, and an empty file that nobody else can read.
pub(super) fn create_run(folder: &Path, flow: &str) -> Result<(String, Lock, PathBuf)> {
    create(folder)?;
    let flow = sanitized(flow);
    let last =
        names(folder)?.iter().filter_map(|name| number(name)).filter(|(of, _)| *of == flow).map(|(_, n)| n).max();
    let mut n = last.unwrap_or(0);
    loop {
        n += 1;
        let name = format!("{flow}-{n}");
        // Whoever makes the file first has the name; the other one takes the next.
        let Some(lock) = try_lock(folder, &name)? else { continue };
        let path = db_path(folder, &name);
        match private().create_new(true).open(&path) {
            Ok(_) => return Ok((name, lock, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_fault("making", &path, error)),
        }
    }
}

/// The names of the runs that have a journal, in no order.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let failed = |error| io_fault("reading the folder", folder, error);
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".db"))
            && is_name(name)
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// What is left of runs whose journals are gone, because somebody was killed while removing them, or removed only
/// those: their names, in no order. Their locks tell, which are empty; what others keep here is not touched.
pub(super) fn orphaned_locks(folder: &Path) -> Result<Vec<String>> {
    let failed = |error| io_fault("reading the folder", folder, error);
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".lock")) else { continue };
        let is_lock = number(name).is_some() && entry.metadata().is_ok_and(|about| about.is_file() && about.len() == 0);
        if is_name(name) && is_lock && !db_path(folder, name).exists() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// How much room a run takes.
pub(super) fn size(folder: &Path, name: &str) -> u64 {
    run_files(folder, name).iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum()
}

/// Takes a run away, whose lock is held by the caller.
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

/// The lock comes last: while it is there, so is everything else or what is left of it.
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
