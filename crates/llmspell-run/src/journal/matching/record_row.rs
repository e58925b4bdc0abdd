//! The rows of records in a journal, read leniently: a value that is damaged must not stop the run.

use std::collections::VecDeque;

use llmspell::Error;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Row as SqlRow};

use crate::journal::result_meta::ResultMeta;

/// The outcome of a record from an earlier session.
pub(crate) struct FinishedRecord {
    /// JSON, if the record did not fail.
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) meta: Option<String>,
    pub(crate) took_ms: Option<f64>,
}

/// The number of rows in one read.
const BATCH: usize = 256;

const ROW: &str = "SELECT id, key, content, session, status, output, error, story, took_ms, blob FROM record";

pub(super) struct RecordRow {
    pub(super) id: u64,
    /// `None` if it is damaged: then the record is unknown.
    pub(super) key: Option<[u8; 16]>,
    pub(super) content: Option<[u8; 16]>,
    pub(super) session: Option<i64>,
    pub(super) status: Option<String>,
    /// Without a large output: that is read only when its turn comes.
    pub(super) finished: FinishedRecord,
    pub(super) blob: Option<i64>,
    /// Whether a value in the row is damaged.
    pub(super) is_damaged: bool,
}

impl FinishedRecord {
    /// Whether all parts of its line can be parsed.
    pub(super) fn is_readable(&self) -> bool {
        let is_json = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let is_result_readable = match (&self.error, &self.output) {
            (Some(error), _) => serde_json::from_str::<Error>(error).is_ok(),
            (None, output) => output.as_ref().is_some_and(is_json),
        };
        is_result_readable && self.meta.as_deref().is_none_or(|meta| ResultMeta::from_json(Some(meta)).is_ok())
    }

    pub(crate) fn error(&self) -> Option<Error> {
        let text = self.error.as_deref()?;
        let unreadable = |_| Error::failed("its error cannot be read in the journal");
        Some(serde_json::from_str(text).unwrap_or_else(unreadable))
    }
}

pub(super) fn read_ahead(db: &Connection, from: u64, end: u64) -> rusqlite::Result<VecDeque<RecordRow>> {
    let rows = format!("{ROW} WHERE id >= ? AND id < ? ORDER BY id LIMIT {BATCH}");
    db.prepare_cached(&rows)?.query_map([from, end], read)?.collect()
}

pub(super) fn read_by_id(db: &Connection, id: u64) -> rusqlite::Result<RecordRow> {
    db.prepare_cached(&format!("{ROW} WHERE id = ?"))?.query_row([id], read)
}

fn read(row: &SqlRow<'_>) -> rusqlite::Result<RecordRow> {
    let (session, status, output, error, meta) =
        (lenient(row, 3)?, lenient_text(row, 4)?, lenient_text(row, 5)?, lenient_text(row, 6)?, lenient_text(row, 7)?);
    let (content, took_ms, blob) = (lenient(row, 2)?, lenient(row, 8)?, lenient(row, 9)?);
    let is_damaged = session.is_none()
        || [&status, &output, &error, &meta].contains(&&None)
        || content.is_none()
        || took_ms.is_none()
        || blob.is_none();
    let (output, error) = (output.flatten(), error.flatten());
    let finished = FinishedRecord { output, error, meta: meta.flatten(), took_ms: took_ms.flatten() };
    Ok(RecordRow {
        id: row.get(0)?,
        key: lenient(row, 1)?,
        content: content.flatten(),
        session,
        status: status.flatten(),
        finished,
        blob: blob.flatten(),
        is_damaged,
    })
}

/// Returns a value; `None` if its type is not the one that was written.
pub(super) fn lenient<T: FromSql>(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    Ok(T::column_result(row.get_ref(column)?).ok())
}

/// Returns a text or NULL; `None` if the value is of another type.
pub(super) fn lenient_text(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Option<String>>> {
    lenient(row, column)
}
