//! The tables of a journal, and how its file is opened.

use std::path::Path;
use std::time::Duration;

use llmspell::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::fault::{fault, not_begun};

/// Counts the changes of the tables that an older program would trip over.
pub(super) const VERSION: i64 = 1;

/// Tells a journal from other databases: "LSpl".
const APPLICATION: i64 = 0x4c53_706c;

const TABLES: &str = include_str!("schema.sql");

/// How long a commit waits for another program that has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens a file that is there and empty, makes the tables, and writes what comes first.
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

/// Opens a journal to go on with it. What a crash has left unfinished in it is gone after that.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let db = open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check(&db, path)?;
    configure(&db).map_err(|error| fault("opening", path, error))?;
    Ok(db)
}

/// Folds in what is in the log, as far as nobody else is looking. Done when a session begins: were the log lost after
/// that, what the run is would still be in the file, and only what has been done since would be done again.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Opens a journal to look at it, also while a run is writing it.
pub(super) fn open_read_only(path: &Path) -> Result<Connection> {
    let db = open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&db, path)?;
    Ok(db)
}

/// Closes a journal whose session has ended: what is in the log is folded in, and the file stands alone. As long as it
/// says that there is a log beside it, whoever looks into it makes one, and leaves it there.
///
/// A neighbour that is looking is waited for, but not for long: then the next session does it.
pub(super) fn close(db: Connection) {
    let _ = db.busy_timeout(Duration::ZERO);
    for wait in [Duration::ZERO, CLOSE_RETRY_DELAY, CLOSE_RETRY_DELAY, 4 * CLOSE_RETRY_DELAY, 4 * CLOSE_RETRY_DELAY] {
        std::thread::park_timeout(wait);
        let mode = db.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0));
        if mode.is_ok_and(|mode| mode == "delete") {
            break;
        }
    }
    // With its last connection, what is in the log is folded in, too.
    drop(db);
}

/// Who looks at a list of runs is done with one in less.
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
            let message = format!("the run was killed before it began: there is nothing in {}", path.display());
            return Err(Error::invalid(message).with_hint("start it anew: `llmspell run`"));
        }
        let message = format!("{} is no journal of a run", path.display());
        return Err(Error::invalid(message).with_hint("name a run that `llmspell runs` lists"));
    }
    if version > VERSION {
        let message = format!("the journal {} was written by a newer version of llmspell", path.display());
        return Err(Error::invalid(message).with_hint("resume the run with that version, or begin a new one"));
    }
    Ok(())
}

/// Whether it has no table yet: what began it was killed before it could make them.
fn has_no_tables(db: &Connection) -> bool {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0)).unwrap_or(false)
}

/// The same of a file.
pub(super) fn is_empty(path: &Path) -> bool {
    open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY).is_ok_and(|db| has_no_tables(&db))
}

/// A commit is on the disk before anybody hears of it.
fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))?;
    db.pragma_update(None, "temp_store", "MEMORY")
}

/// From here on, readers never stop the writer. What is appended to the log is folded in now and then, and the file beside
/// the journal stays small; until the journal is [laid down](close).
pub(super) fn enable_wal(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}
