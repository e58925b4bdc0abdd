//! A run from outside.

use std::path::Path;

use llmspell::{Error, Result};
use rusqlite::{Connection, OptionalExtension};

use super::fault::fault;
use super::{place, schema};

/// What a journal tells of its run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunInfo {
    /// The name of the run.
    pub name: String,
    /// How much room its files take, in bytes.
    pub size: u64,
    /// Whether a process is running it.
    pub is_running: bool,
    /// What it says; the error if it cannot be read.
    pub story: Result<RunStory>,
}

/// What stands in the journal of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunStory {
    /// What was [noted](super::Journal::note), by name.
    pub facts: Vec<(String, String)>,
    /// When it was first started, UTC, such as `2026-11-22T18:03:32.123Z`.
    pub began: Option<String>,
    /// When it last ended; `None` while it runs, or if it was killed.
    pub ended: Option<String>,
    /// How it last ended: `complete`, `drained`, `stopped` and so on; `None` as for `ended`.
    pub ending: Option<String>,
    /// How often it was started.
    pub sessions: u64,
    /// Records with an output.
    pub ok: u64,
    /// Records without.
    pub failed: u64,
    /// Records that run again when it is resumed: they failed because it was ending, or have results but no outcome.
    pub unfinished: u64,
    /// The report of the last session that ended, as JSON.
    pub report: Option<String>,
}

impl RunInfo {
    /// Why it cannot be read, if it cannot.
    pub fn problem(&self) -> Option<&Error> {
        self.story.as_ref().err()
    }

    /// Whether nothing was ever done in it, and nobody is about to.
    pub(super) fn is_void(&self) -> bool {
        let is_void = match &self.story {
            Ok(story) => story.sessions == 0,
            // Its process was killed before it had a single table.
            Err(_) => self.size == 0,
        };
        is_void && !self.is_running
    }

    /// Whether every record of its input has an outcome.
    pub fn is_complete(&self) -> bool {
        !self.is_running && self.story.as_ref().is_ok_and(|story| story.ending.as_deref() == Some("complete"))
    }
}

impl RunStory {
    /// What was noted under a name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str())
    }
}

pub(super) fn look(folder: &Path, name: String) -> RunInfo {
    let path = place::db(folder, &name);
    let is_running = place::is_locked(folder, &name);
    let story = schema::look_into(&path).and_then(|db| tell(&db).map_err(|error| fault("reading", &path, error)));
    RunInfo { size: place::size(folder, &name), is_running, story, name }
}

fn tell(db: &Connection) -> rusqlite::Result<RunStory> {
    let mut facts = db.prepare("SELECT fact, value FROM run ORDER BY fact")?;
    let facts = facts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut story = RunStory { facts, ..RunStory::default() };
    (story.began, story.sessions) =
        db.query_row("SELECT min(began), count(*) FROM session", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = "SELECT ended, ending, ok, failed FROM session ORDER BY id DESC LIMIT 1";
    let last = db.query_row(last, [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<u64>>(2)?, row.get::<_, Option<u64>>(3)?))
    });
    let (ok, failed);
    (story.ended, story.ending, ok, failed) = last.optional()?.unwrap_or_default();
    let report = "SELECT report FROM session WHERE report IS NOT NULL ORDER BY id DESC LIMIT 1";
    story.report = db.query_row(report, [], |row| row.get(0)).optional()?;
    if story.ending.as_deref() == Some("complete") {
        // Counting a million rows takes a while.
        (story.ok, story.failed) = (ok.unwrap_or(0), failed.unwrap_or(0));
        return Ok(story);
    }
    let mut counts = db.prepare("SELECT status, count(*) FROM record GROUP BY status")?;
    let mut counts = counts.query([])?;
    while let Some(row) = counts.next()? {
        let count: u64 = row.get(1)?;
        match row.get::<_, Option<String>>(0)?.as_deref() {
            Some("ok") => story.ok = count,
            Some("failed") => story.failed = count,
            _ => story.unfinished += count,
        }
    }
    Ok(story)
}
