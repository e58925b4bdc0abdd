//! What a run is asked to do while it runs: a mailbox in its journal.

use rusqlite::Connection;

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: i64,
    pub(crate) text: String,
}

/// All that have no answer, the oldest first.
pub(super) fn pending(db: &Connection) -> rusqlite::Result<Vec<Asked>> {
    let mut waiting = db.prepare_cached("SELECT id, text FROM command WHERE answer IS NULL ORDER BY id")?;
    let rows = waiting.query_map([], |row| Ok(Asked { id: row.get(0)?, text: row.get(1)? }))?;
    rows.collect()
}
