//! Executes write commands as SQL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use llmspell_flow::internal::{Fingerprint, StepKey};
use rusqlite::{Connection, OptionalExtension, params};

use super::command::{self, ControlCommand, pending};
use super::write_command::{RecordId, RecordResult, SessionEnd, WriteCommand};

/// The size from which outputs are deduplicated in a table of their own: 4 KiB.
pub(super) const LARGE: usize = 4096;

/// The state of the writer's thread about its file.
pub(crate) struct RowWriter {
    path: PathBuf,
    session: i64,
    steps: HashMap<StepKey, i64>,
    /// The `data_version` at the last poll; it changes when another process writes.
    seen: Option<i64>,
}

impl RowWriter {
    pub(super) fn new(path: PathBuf, session: i64, steps: HashMap<StepKey, i64>) -> Self {
        RowWriter { path, session, steps, seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Called after a failed commit: steps that were new in it are not in the file.
    pub(super) fn forget_steps(&mut self) {
        self.steps.clear();
    }

    /// Returns the number of a step; a new step gets one.
    fn step(&mut self, db: &Connection, step: &StepKey) -> rusqlite::Result<i64> {
        if let Some(id) = self.steps.get(step) {
            return Ok(*id);
        }
        let known = "SELECT id FROM step WHERE path = ?1 AND fingerprint = ?2";
        let new = "INSERT INTO step (path, fingerprint) VALUES (?1, ?2) RETURNING id";
        let row = params![&*step.path, step.fingerprint.0];
        let id = match db.prepare_cached(known)?.query_row(row, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => db.prepare_cached(new)?.query_row(row, |row| row.get(0))?,
        };
        self.steps.insert(step.clone(), id);
        Ok(id)
    }

    /// Executes a command.
    pub(super) fn write(&mut self, db: &Connection, command: &mut WriteCommand) -> rusqlite::Result<()> {
        match command {
            WriteCommand::Result { record, step, item, output, meta } => {
                self.write_result(db, record, step, item, output, meta.as_deref())
            }
            WriteCommand::Record { record, finished } => self.write_record(db, record, finished),
            WriteCommand::Forget(record) => {
                db.prepare_cached("DELETE FROM result WHERE record = ?")?.execute([*record])?;
                db.prepare_cached("DELETE FROM record WHERE id = ?")?.execute([*record])?;
                Ok(())
            }
            WriteCommand::Commands(sender) => {
                let found = self.new_commands(db)?;
                let sender = std::mem::replace(sender, tokio::sync::oneshot::channel().0);
                let _ = sender.send(found);
                Ok(())
            }
            WriteCommand::Answer(command, answer) => {
                let update = "UPDATE command SET answer = ? WHERE id = ?";
                db.prepare_cached(update)?.execute(params![&*answer, *command])?;
                Ok(())
            }
            WriteCommand::Stopping => command::mark_settled(db),
            WriteCommand::Close(end) => self.close_session(db, end),
        }
    }

    fn write_result(
        &mut self,
        db: &Connection,
        record: &RecordId,
        step: &StepKey,
        item: &str,
        output: &str,
        meta: Option<&str>,
    ) -> rusqlite::Result<()> {
        let begin = "INSERT OR IGNORE INTO record (id, key, content, line, session) VALUES (?, ?, ?, ?, ?)";
        let row = params![record.id, record.key, record.content, record.line, self.session];
        db.prepare_cached(begin)?.execute(row)?;
        let step = self.step(db, step)?;
        let (output, blob) = store_output(db, Some(output))?;
        let insert = "INSERT OR REPLACE INTO result (record, step, item, output, blob, story) \
                      VALUES (?, ?, ?, ?, ?, ?)";
        db.prepare_cached(insert)?.execute(params![record.id, step, item, output, blob, meta])?;
        Ok(())
    }

    fn write_record(&self, db: &Connection, record: &RecordId, result: &RecordResult) -> rusqlite::Result<()> {
        let (output, blob) = store_output(db, result.output.as_deref())?;
        let insert = "INSERT OR REPLACE INTO record \
                      (id, key, content, line, session, status, output, blob, error, story, took_ms) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        db.prepare_cached(insert)?.execute(params![
            record.id,
            record.key,
            record.content,
            record.line,
            self.session,
            result.status.as_str(),
            output,
            blob,
            result.error,
            result.meta.as_deref(),
            result.took_ms,
        ])?;
        Ok(())
    }

    fn close_session(&self, db: &Connection, end: &SessionEnd) -> rusqlite::Result<()> {
        command::reject_pending(db)?;
        let update = "UPDATE session SET ended = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ending = ?, ok = ?, \
                      degraded = ?, failed = ?, replayed = ?, report = ? WHERE id = ?";
        let row = params![end.ending, end.ok, end.degraded, end.failed, end.replayed, end.report, self.session];
        db.execute(update, row)?;
        Ok(())
    }

    /// Returns the commands that were sent since the last call. If no other process has written, that is one quick
    /// query.
    fn new_commands(&mut self, db: &Connection) -> rusqlite::Result<Vec<ControlCommand>> {
        let version = db.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.seen == Some(version) {
            return Ok(Vec::new());
        }
        let found = pending(db)?;
        self.seen = Some(version);
        Ok(found)
    }
}

/// Stores an output: a small one in the row itself, a large one as a blob.
fn store_output<'a>(db: &Connection, output: Option<&'a str>) -> rusqlite::Result<(Option<&'a str>, Option<i64>)> {
    let Some(large) = output.filter(|output| output.len() >= LARGE) else { return Ok((output, None)) };
    let hash = Fingerprint::of(large.as_bytes());
    let known = "SELECT id, data IS ?2 FROM blob WHERE hash = ?1";
    let row = params![hash.0, large];
    let known = db.prepare_cached(known)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let id: i64 = match known {
        Some((id, true)) => id,
        // The stored blob was damaged.
        Some((id, false)) => {
            db.prepare_cached("UPDATE blob SET data = ? WHERE id = ?")?.execute(params![large, id])?;
            id
        }
        None => {
            let insert = "INSERT INTO blob (hash, data) VALUES (?, ?) RETURNING id";
            db.prepare_cached(insert)?.query_row(params![hash.0, large], |row| row.get(0))?
        }
    };
    Ok((None, Some(id)))
}
