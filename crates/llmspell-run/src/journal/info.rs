//! Information about a run, read from its journal.

use std::path::Path;

use llmspell::{Error, Result};
use rusqlite::{Connection, OptionalExtension};

use super::fault::fault;
use super::{command, folder, schema};

/// A run as its journal describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunInfo {
    /// The name of the run.
    pub name: String,
    /// The size of its files in bytes.
    pub size: u64,
    /// Whether a process is running it.
    pub is_running: bool,
    /// The content of the journal, or the error if it cannot be read.
    pub record: Result<RunRecord>,
}

/// The content of the journal of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunRecord {
    /// The metadata that was [set](super::Journal::set_meta), by name.
    pub metadata: Vec<(String, String)>,
    /// When the run was first started, UTC, such as `2026-11-22T18:03:32.123Z`.
    pub began: Option<String>,
    /// When the run was last started or resumed.
    pub last_began: Option<String>,
    /// When the run last ended; `None` while it runs, or if it was killed.
    pub ended: Option<String>,
    /// How the run last ended: `complete`, `drained`, `stopped` and so on; `None` as for `ended`.
    pub ending: Option<String>,
    /// The number of times the run was started.
    pub sessions: u64,
    /// Whether the last command paused the run. Without meaning if it is not running.
    pub is_paused: bool,
    /// The outcomes of its records; `None` if only counting them would tell, which only
    /// [`Journals::info`](super::Journals::info) does.
    pub counts: Option<RunCounts>,
    /// The number of input records up to the last one that has an outcome or results.
    pub reached: u64,
    /// Records that remain: unread when the run last ended, or dropped. `None` if it did not count them.
    pub to_do: Option<u64>,
    /// The report of the last session that ran records, as JSON. Only [`Journals::info`](super::Journals::info)
    /// returns it.
    pub report: Option<String>,
}

/// Records of a run by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunCounts {
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is partial or a substitute; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
}

impl RunInfo {
    /// Returns the error if the journal cannot be read.
    pub fn problem(&self) -> Option<&Error> {
        self.record.as_ref().err()
    }

    /// Returns the state: `running`, `paused`, the [name](crate::RunEnd::as_str) of its last end, `killed` if it has
    /// none, or `unreadable`.
    pub fn state(&self) -> &str {
        match &self.record {
            Ok(record) if self.is_running && record.is_paused => "paused",
            _ if self.is_running => "running",
            Err(_) => "unreadable",
            // A process that was killed wrote no end.
            Ok(record) => record.ending.as_deref().unwrap_or("killed"),
        }
    }

    /// Returns the state for people, such as `interrupted`.
    pub fn state_label(&self) -> &str {
        label(self.state())
    }

    /// Whether the run never started a session and no process is about to.
    pub(super) fn is_unused(&self) -> bool {
        self.record.as_ref().is_ok_and(|record| record.sessions == 0) && !self.is_running
    }

    /// Whether every record of its input has an outcome.
    pub fn is_complete(&self) -> bool {
        !self.is_running && self.record.as_ref().is_ok_and(|record| record.ending.as_deref() == Some("complete"))
    }
}

impl RunRecord {
    /// Returns the metadata of this name.
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(meta, _)| meta == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the word for a state that is shown to people: the same one everywhere.
pub(crate) fn label(state: &str) -> &str {
    match state {
        "drained" => "interrupted",
        "stopped" => "denied",
        "over_budget" => "over budget",
        "nobody_reads" => "reader gone",
        "input_failed" => "input failed",
        "output_failed" => "output failed",
        "journal_failed" => "journal failed",
        "killed" => "cut short",
        // `running`, `paused`, `complete`, `failed`, `aborted`, `unreadable`, and states of a newer version.
        other => other,
    }
}

/// Reads everything. The records of an incomplete run are counted, and a million of them take a while.
pub(super) fn read_full(folder: &Path, name: String) -> RunInfo {
    read_info(folder, name, |db| {
        let mut record = summary_of(db)?;
        // A session that only replayed outcomes has nothing to report.
        let report = "SELECT report FROM session WHERE report IS NOT NULL \
                      ORDER BY coalesce(ok + failed > replayed, 0) DESC, id DESC LIMIT 1";
        record.report = db.query_row(report, [], |row| row.get(0)).optional()?;
        if record.ending.as_deref() != Some("complete") {
            record.counts = Some(count(db)?);
        }
        Ok(record)
    })
}

/// Reads everything except the records, so that a large run takes no longer than a small one. Of the report, whose
/// size depends on the number of steps, only the remaining records of the last session are read.
pub(super) fn read_summary(folder: &Path, name: String) -> RunInfo {
    read_info(folder, name, summary_of)
}

fn read_info(folder: &Path, name: String, read: impl FnOnce(&Connection) -> rusqlite::Result<RunRecord>) -> RunInfo {
    let path = folder::db_path(folder, &name);
    let is_running = folder::is_locked(folder, &name);
    let record = match schema::open_read_only(&path) {
        Ok(db) => read(&db).map_err(|error| fault("reading", &path, error)),
        Err(_) if schema::is_empty(&path) => Ok(RunRecord::default()),
        Err(error) => Err(error),
    };
    RunInfo { size: folder::size(folder, &name), is_running, record, name }
}

fn summary_of(db: &Connection) -> rusqlite::Result<RunRecord> {
    let mut metadata = db.prepare("SELECT fact, value FROM run ORDER BY fact")?;
    let metadata = metadata.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut record = RunRecord { metadata, ..RunRecord::default() };
    (record.began, record.sessions) =
        db.query_row("SELECT min(began), count(*) FROM session", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The remaining records of the last session; an aborted session, or one with an endless input, did not count them.
    let last = "SELECT began, ended, ending, \
                CASE WHEN json_valid(report) \
                THEN json_extract(report, '$.left') + coalesce(json_extract(report, '$.dropped'), 0) END \
                FROM session ORDER BY id DESC LIMIT 1";
    let last = db.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    (record.last_began, record.ended, record.ending, record.to_do) = last.optional()?.unwrap_or_default();
    if record.ending.is_some() {
        // A session that was cancelled early has written fewer records than the sessions before it.
        let is_whole = record.ending.as_deref() == Some("complete");
        let most = if is_whole { "id DESC" } else { "ok + failed DESC, id DESC" };
        let counts = format!(
            "SELECT coalesce(ok, 0), coalesce(degraded, 0), coalesce(failed, 0) FROM session \
             WHERE ended IS NOT NULL ORDER BY {most} LIMIT 1"
        );
        let counts = db.query_row(&counts, [], |row| {
            Ok(RunCounts { ok: row.get(0)?, degraded: row.get(1)?, failed: row.get(2)? })
        });
        record.counts = counts.optional()?;
    }
    record.reached = db.query_row("SELECT coalesce(max(id) + 1, 0) FROM record", [], |row| row.get(0))?;
    record.is_paused = command::is_paused(db)?;
    Ok(record)
}

fn count(db: &Connection) -> rusqlite::Result<RunCounts> {
    // The metadata names the quality only if it is not full. Damaged metadata counts as full.
    let all = "SELECT status, count(*), \
               coalesce(sum(CASE WHEN json_valid(story) THEN json_extract(story, '$.quality') IS NOT NULL END), 0) \
               FROM record GROUP BY status";
    let (mut all, mut counts) = (db.prepare(all)?, RunCounts::default());
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        match row.get::<_, Option<String>>(0)?.as_deref() {
            Some("ok") => (counts.ok, counts.degraded) = (row.get(1)?, row.get(2)?),
            Some("failed") => counts.failed = row.get(1)?,
            // Without an outcome, or with one that does not count.
            _ => {}
        }
    }
    Ok(counts)
}
