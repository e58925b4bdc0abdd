//! Commands for a run in progress: a mailbox in its journal.

use std::path::Path;

use llmspell::Result;
use rusqlite::{Connection, OptionalExtension};

use super::fault::fault;
use super::schema;

/// A command that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlCommand {
    pub(crate) id: i64,
    pub(crate) text: String,
}

/// Returns all commands without an answer, the oldest first.
pub(super) fn pending(db: &Connection) -> rusqlite::Result<Vec<ControlCommand>> {
    let mut waiting = db.prepare_cached("SELECT id, text FROM command WHERE answer IS NULL ORDER BY id")?;
    let rows = waiting.query_map([], |row| Ok(ControlCommand { id: row.get(0)?, text: row.get(1)? }))?;
    rows.collect()
}

/// The answer of a run that has ended.
pub(super) const RUN_ENDED: &str = "error: the run had ended";

/// Answers all pending commands with an error: neither this session nor the next one executes them.
pub(super) fn reject_pending(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE command SET answer = ? WHERE answer IS NULL", [RUN_ENDED]).map(|_| ())
}

/// Cancels the effect of all commands so far.
pub(super) fn mark_settled(db: &Connection) -> rusqlite::Result<()> {
    let settled =
        "INSERT OR REPLACE INTO run (fact, value) SELECT 'commands_settled', coalesce(max(id), 0) FROM command";
    db.execute(settled, []).map(|_| ())
}

/// Whether the last effective command of the last session was `pause`.
pub(super) fn is_paused(db: &Connection) -> rusqlite::Result<bool> {
    let last = "SELECT text = 'pause' FROM command \
                WHERE text IN ('pause', 'continue', 'drain') AND answer NOT LIKE 'error:%' \
                AND id > coalesce((SELECT CAST(value AS INTEGER) FROM run WHERE fact = 'commands_settled'), 0) \
                ORDER BY id DESC LIMIT 1";
    db.query_row(last, [], |row| row.get(0)).optional().map(Option::unwrap_or_default)
}

/// Puts a command into the mailbox; returns its number.
pub(super) fn send(path: &Path, text: &str) -> Result<i64> {
    let db = schema::open(path)?;
    let insert = "INSERT INTO command (text, asked) VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
    db.execute(insert, [text.trim()]).map_err(|error| fault("writing", path, error))?;
    Ok(db.last_insert_rowid())
}

/// Returns the answer to a command, once there is one.
pub(super) fn answer(path: &Path, command: i64) -> Result<Option<String>> {
    let db = schema::open_read_only(path)?;
    let answer = db.query_row("SELECT answer FROM command WHERE id = ?", [command], |row| row.get(0));
    answer.optional().map(Option::flatten).map_err(|error| fault("reading", path, error))
}
