//! Errors of journals, with a hint for each cause.

use std::path::Path;

use llmspell::Error;
use rusqlite::ErrorCode;

/// The end of every hint about a journal that cannot be written.
pub(super) const WITHOUT: &str = "or run without a journal: --no-journal";

/// Wraps an error of SQLite, with a hint for the user.
pub(super) fn fault(doing: &str, path: &Path, error: rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free space on the disk, then resume the run: nothing that was finished is lost",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "set --state to a writable folder, or run without a journal: --no-journal"
        }
        Some(ErrorCode::CannotOpen) => "check that the file exists and its folder is writable",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged: `sqlite3 FILE .recover` recovers readable rows; otherwise start a new run"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end the program that locks the file, then resume the run"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "check the disk, its free space and its mount, then resume the run: nothing that was finished is lost"
        }
        _ => "this should not happen; please report it",
    };
    Error::failed(format!("{doing} the journal {} failed: {error}", path.display())).with_hint(hint).with_source(error)
}

/// The same for a journal that could not be created: there is nothing to resume.
pub(super) fn not_begun(path: &Path, error: rusqlite::Error) -> Error {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free space on the disk",
        Some(ErrorCode::SystemIoFailure) => "check the disk, its free space and its mount",
        _ => return fault("creating", path, error),
    };
    fault("creating", path, error).with_hint(format!("{remedy}, {WITHOUT}"))
}

/// The same for folders and locks.
pub(super) fn io_fault(doing: &str, path: &Path, error: std::io::Error) -> Error {
    let why = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "free space on the disk",
        _ => "set --state to a writable folder",
    };
    let message = format!("{doing} {} failed: {error}", path.display());
    Error::failed(message).with_hint(format!("{why}, {WITHOUT}")).with_source(error)
}
