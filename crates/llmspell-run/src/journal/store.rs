//! The journal of one run, held by the process that runs it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmspell::{ErrorKind, Result};
use llmspell_flow::Flow;
use llmspell_flow::internal::{Fingerprint, StepKey};
use rusqlite::{Connection, OptionalExtension, params};

use super::command;
use super::fault::fault;
use super::folder::Lock;
use super::matching::Matcher;
use super::resume_plan::{Redo, Why};
use super::rows::Rows;
use super::schema;
use super::writer::{Pen, Thread, writer};

/// The fact that says by which field the records were last known; empty, if by their content.
const KEY: &str = "key";

/// The journal of one run. As long as it is there, no other process can go on with the run.
///
/// [`Journals`](super::Journals) begins and opens them; give it to [`Run::journal`](crate::Run::journal).
pub struct Journal {
    name: String,
    path: PathBuf,
    db: Connection,
    again: Again,
    lock: Lock,
}

/// Which of the records that have failed are run again when a run is resumed. The default is none; records that were in
/// flight, or failed because the run was ending, are run again in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Again {
    /// None of them, unless the run ended because records were [denied](llmspell::ErrorKind::Denied): then those that were.
    #[default]
    None,
    /// All of them.
    Failed,
    /// Those whose errors are of one of these kinds.
    Kinds(Vec<ErrorKind>),
}

impl Journal {
    pub(super) fn new(name: String, path: PathBuf, db: Connection, lock: Lock) -> Self {
        Journal { name, path, db, again: Again::None, lock }
    }

    /// The name of the run, such as `triage-3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs these records again that have failed.
    #[must_use]
    pub fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// Notes something about the run, such as where its input is; see [`fact`](Journal::fact). Neither secrets nor
    /// what holds any belongs here.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn note(&self, fact: &str, value: &str) -> Result<()> {
        note(&self.db, fact, value).map_err(|error| fault("writing", &self.path, error))
    }

    /// What was noted about the run: `flow`, its name, is there from the beginning.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn fact(&self, fact: &str) -> Result<Option<String>> {
        let value = self.db.query_row("SELECT value FROM run WHERE fact = ?", [fact], |row| row.get(0));
        value.optional().map_err(|error| fault("reading", &self.path, error))
    }

    /// Which steps' results serve again if the run is resumed with this flow, and which steps are done again.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn redo(&self, flow: &Flow) -> Result<Redo> {
        self.find_redo(flow).map_err(|error| fault("reading", &self.path, error))
    }

    fn find_redo(&self, flow: &Flow) -> rusqlite::Result<Redo> {
        let steps = self.steps()?;
        let mut redo = Redo::default();
        for key in flow.journaled_steps() {
            if steps.contains_key(&key) {
                redo.kept.push(key.path.to_string());
            } else if steps.keys().any(|known| known.path == key.path) {
                redo.redone.push((key.path.to_string(), Why::Changed));
            } else {
                redo.redone.push((key.path.to_string(), Why::New));
            }
        }
        let others = "SELECT count(*) FROM record JOIN session ON session.id = record.session \
                      WHERE record.status IS NOT NULL AND session.flow <> ?";
        redo.records = self.db.query_row(others, [flow.fingerprint().0], |row| row.get(0))?;
        let key: Option<String> =
            self.db.query_row("SELECT value FROM run WHERE fact = ?", [KEY], |row| row.get(0)).optional()?;
        redo.rekeyed = key.is_some_and(|key| key != flow.key().unwrap_or_default());
        Ok(redo)
    }

    fn steps(&self) -> rusqlite::Result<HashMap<StepKey, i64>> {
        let mut known = self.db.prepare("SELECT id, path, fingerprint FROM step")?;
        let rows = known.query_map([], |row| {
            let path = row.get::<_, String>(1)?.into();
            let fingerprint = Fingerprint::from_slice(&row.get::<_, Vec<u8>>(2)?).unwrap_or(Fingerprint([0; 16]));
            Ok((StepKey { path, fingerprint }, row.get(0)?))
        })?;
        rows.collect()
    }

    /// Begins a session: what writes, and what knows the records of earlier ones.
    pub(crate) fn start(self, flow: Fingerprint, key: Option<&str>) -> Result<Session> {
        let path = self.path.clone();
        let failed = |error| fault("writing", &path, error);
        schema::log(&self.db).map_err(failed)?;
        let steps = self.steps().map_err(failed)?;
        let matcher = Matcher::new(&self.path, &self.db, flow, self.again.clone(), key, Arc::new(steps.clone()))?;
        let begin = "INSERT INTO session (flow, pid, began) VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
        self.db.execute(begin, params![flow.0, std::process::id()]).map_err(failed)?;
        let session = self.db.last_insert_rowid();
        command::refuse(&self.db).and_then(|()| command::settle(&self.db)).map_err(failed)?;
        note(&self.db, KEY, key.unwrap_or_default()).map_err(failed)?;
        schema::fold_in(&self.db).map_err(failed)?;
        let Journal { db, lock, .. } = self;
        let (pen, thread) = writer(db, Rows::new(path, session, steps), lock);
        Ok(Session { pen, thread, matcher })
    }
}

/// A session of a run, on its way.
pub(crate) struct Session {
    pub(crate) pen: Pen,
    pub(crate) thread: Thread,
    pub(crate) matcher: Matcher,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

fn note(db: &Connection, fact: &str, value: &str) -> rusqlite::Result<()> {
    db.execute("INSERT OR REPLACE INTO run (fact, value) VALUES (?, ?)", [fact, value]).map(|_| ())
}

/// Fills a file that has just been claimed; if that cannot be done, nothing is left of it.
pub(super) fn begin(folder: &Path, claimed: (String, Lock, PathBuf), flow: &Flow) -> Result<Journal> {
    let (name, lock, path) = claimed;
    match schema::create(&path, |db| note(db, "flow", flow.name())) {
        Ok(db) => Ok(Journal::new(name, path, db, lock)),
        Err(error) => {
            // What cannot be removed either is taken away when a later run is complete.
            let _ = super::folder::remove(folder, &name, lock);
            Err(error)
        }
    }
}
