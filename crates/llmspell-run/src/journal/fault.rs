//! Errors of journals, with a hint for each cause.

use std::path::Path;

use llmspell::Error;
use rusqlite::ErrorCode;

/// The end of every hint about a journal that cannot be written.
pub(super) const WITHOUT: &str = "or run without a journal: --no-journal";

/// Wraps an error of SQLite, with a hint for the user.
pub(super) fn fault(doing: &str, path: &Path, error: rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room on the disk, then resume the run: nothing that was finished is lost",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "give --state a folder that can be written, or run without a journal: --no-journal"
        }
        Some(ErrorCode::CannotOpen) => "check that the file is there and its folder can be written",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged: `sqlite3 FILE .recover` saves what is readable; without it, the run begins anew"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps the file locked: end it, and resume the run"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "check the disk, its room and its mount, then resume the run: nothing that was finished is lost"
        }
        _ => "this should not happen; please report it",
    };
    Error::failed(format!("{doing} the journal {} failed: {error}", path.display())).with_hint(hint).with_source(error)
}

/// The same for a journal that could not be created: there is nothing to resume.
pub(super) fn not_begun(path: &Path, error: rusqlite::Error) -> Error {
    let see_to = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room on the disk",
        Some(ErrorCode::SystemIoFailure) => "check the disk, its room and its mount",
        _ => return fault("beginning", path, error),
    };
    fault("beginning", path, error).with_hint(format!("{see_to}, {WITHOUT}"))
}

/// The same for folders and locks.
pub(super) fn io_fault(doing: &str, path: &Path, error: std::io::Error) -> Error {
    let why = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "make room on the disk",
        _ => "give --state a folder that can be written",
    };
    let message = format!("{doing} {} failed: {error}", path.display());
    Error::failed(message).with_hint(format!("{why}, {WITHOUT}")).with_source(error)
}
