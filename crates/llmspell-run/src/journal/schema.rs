//! The tables of a journal, and how its file is opened and closed.

use std::path::Path;
use std::time::Duration;

use llmspell::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::fault::{fault, not_begun};

/// The version of the tables; raised by changes that an older program cannot read.
pub(super) const VERSION: i64 = 1;

/// Distinguishes a journal from other databases: "LSpl".
const APPLICATION: i64 = 0x4c53_706c;

const TABLES: &str = include_str!("schema.sql");

/// How long a commit waits for another process that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens an existing empty file, creates the tables, and calls `first` to write the first rows.
pub(super) fn create(path: &Path, first: impl Fn(&Connection) -> rusqlite::Result<()>) -> Result<Connection> {
    let db = open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let make = || {
        configure(&db)?;
        enable_wal(&db)?;
        let made =
            format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION}; COMMIT");
        db.execute_batch(&made)?;
        first(&db)
    };
    make().map_err(|error| not_begun(path, error))?;
    Ok(db)
}

/// Opens a journal to resume its run. Opening rolls back what a crash left unfinished.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let db = open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check(&db, path)?;
    configure(&db).map_err(|error| fault("opening", path, error))?;
    Ok(db)
}

/// Checkpoints the write-ahead log, as far as no reader blocks it. Done when a session begins: if the log is lost
/// after that, the file still describes the run, and only the work since then is repeated.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Opens a journal read-only, even while a run writes it.
pub(super) fn open_read_only(path: &Path) -> Result<Connection> {
    let db = open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&db, path)?;
    Ok(db)
}

/// Closes the journal of an ended session: checkpoints the log and leaves WAL mode, so that the journal is a single
/// file. In WAL mode, every reader would create a log file beside it and leave it there.
///
/// Waits for a reader, but not for long; if it does not finish, the next session closes the file.
pub(super) fn close(db: Connection) {
    let _ = db.busy_timeout(Duration::ZERO);
    for wait in [Duration::ZERO, CLOSE_RETRY_DELAY, CLOSE_RETRY_DELAY, 4 * CLOSE_RETRY_DELAY, 4 * CLOSE_RETRY_DELAY] {
        std::thread::park_timeout(wait);
        let mode = db.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0));
        if mode.is_ok_and(|mode| mode == "delete") {
            break;
        }
    }
    // Dropping the last connection checkpoints the log, too.
    drop(db);
}

/// Reading one journal for a list of runs takes less.
const CLOSE_RETRY_DELAY: Duration = Duration::from_millis(50);

fn open_as(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let opened = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let set = |db: Connection| db.busy_timeout(BUSY_TIMEOUT).map(|()| db);
    opened.and_then(set).map_err(|error| fault("opening", path, error))
}

fn check(db: &Connection, path: &Path) -> Result<()> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let failed = |error| fault("opening", path, error);
    let version = number("user_version").map_err(failed)?;
    if number("application_id").map_err(failed)? != APPLICATION {
        if has_no_tables(db) {
            let message = format!("the run was killed before it began: {} is empty", path.display());
            return Err(Error::invalid(message).with_hint("start a new run: `llmspell run`"));
        }
        let message = format!("{} is not the journal of a run", path.display());
        return Err(Error::invalid(message).with_hint("name a run that `llmspell runs` lists"));
    }
    if version > VERSION {
        let message = format!("the journal {} was written by a newer version of llmspell", path.display());
        return Err(Error::invalid(message).with_hint("resume the run with that version, or begin a new one"));
    }
    Ok(())
}

/// Whether the database has no table yet: the process that began it was killed before it could create them.
fn has_no_tables(db: &Connection) -> bool {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0)).unwrap_or(false)
}

/// The same for a file.
pub(super) fn is_empty(path: &Path) -> bool {
    open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY).is_ok_and(|db| has_no_tables(&db))
}

/// Makes every commit wait until it is on disk.
fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))?;
    db.pragma_update(None, "temp_store", "MEMORY")
}

/// Switches to WAL mode, in which readers never block the writer. Checkpoints keep the log file small; [`close`] ends
/// the mode.
pub(super) fn enable_wal(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}
