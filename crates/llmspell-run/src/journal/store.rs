//! The journal of one run, held by the process that runs it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmspell::Result;
use llmspell_flow::Flow;
use llmspell_flow::internal::{Fingerprint, StepKey};
use rusqlite::{Connection, OptionalExtension, params};

use super::command;
use super::fault::fault;
use super::folder::Lock;
use super::matching::RecordMatcher;
use super::resume_plan::{RedoReason, ResumePlan};
use super::retry_filter::RetryFilter;
use super::rows::RowWriter;
use super::schema;
use super::writer::{JournalWriter, WriterThread, start_writer};

/// The name of the metadata for the declared key field; empty if records are recognized by their content.
const KEY: &str = "key";

/// The journal of one run. As long as the value exists, no other process can resume the run.
///
/// [`Journals`](super::Journals) begins and opens them; give it to [`Run::journal`](crate::Run::journal).
pub struct Journal {
    name: String,
    path: PathBuf,
    db: Connection,
    retry: RetryFilter,
    lock: Lock,
}

impl Journal {
    pub(super) fn new(name: String, path: PathBuf, db: Connection, lock: Lock) -> Self {
        Journal { name, path, db, retry: RetryFilter::None, lock }
    }

    /// Returns the name of the run, such as `triage-3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs the failed records again that the filter selects.
    #[must_use]
    pub fn retry(mut self, retry: RetryFilter) -> Self {
        self.retry = retry;
        self
    }

    /// Sets metadata of the run, such as the path of its input; see [`meta`](Journal::meta). It must not contain
    /// secrets.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        set_meta(&self.db, name, value).map_err(|error| fault("writing", &self.path, error))
    }

    /// Returns metadata of the run; `flow`, its name, is always there.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        let value = self.db.query_row("SELECT value FROM run WHERE fact = ?", [name], |row| row.get(0));
        value.optional().map_err(|error| fault("reading", &self.path, error))
    }

    /// Returns which steps are reused and which run again if the run is resumed with this flow.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn resume_plan(&self, flow: &Flow) -> Result<ResumePlan> {
        self.read_resume_plan(flow).map_err(|error| fault("reading", &self.path, error))
    }

    fn read_resume_plan(&self, flow: &Flow) -> rusqlite::Result<ResumePlan> {
        let steps = self.steps()?;
        let mut resume_plan = ResumePlan::default();
        for key in flow.journaled_steps() {
            if steps.contains_key(&key) {
                resume_plan.kept.push(key.path.to_string());
            } else if steps.keys().any(|known| known.path == key.path) {
                resume_plan.redone.push((key.path.to_string(), RedoReason::Changed));
            } else {
                resume_plan.redone.push((key.path.to_string(), RedoReason::New));
            }
        }
        let others = "SELECT count(*) FROM record JOIN session ON session.id = record.session \
                      WHERE record.status IS NOT NULL AND session.flow <> ?";
        resume_plan.records = self.db.query_row(others, [flow.fingerprint().0], |row| row.get(0))?;
        let key: Option<String> =
            self.db.query_row("SELECT value FROM run WHERE fact = ?", [KEY], |row| row.get(0)).optional()?;
        resume_plan.rekeyed = key.is_some_and(|key| key != flow.key().unwrap_or_default());
        Ok(resume_plan)
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

    /// Begins a session: a writer, and a matcher for the records of earlier sessions.
    pub(crate) fn start(self, flow: Fingerprint, key: Option<&str>) -> Result<JournalSession> {
        let path = self.path.clone();
        let failed = |error| fault("writing", &path, error);
        schema::enable_wal(&self.db).map_err(failed)?;
        let steps = self.steps().map_err(failed)?;
        let matcher = RecordMatcher::new(&self.path, &self.db, flow, self.retry.clone(), key, Arc::new(steps.clone()))?;
        let begin = "INSERT INTO session (flow, pid, began) VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
        self.db.execute(begin, params![flow.0, std::process::id()]).map_err(failed)?;
        let session = self.db.last_insert_rowid();
        command::reject_pending(&self.db).and_then(|()| command::mark_settled(&self.db)).map_err(failed)?;
        set_meta(&self.db, KEY, key.unwrap_or_default()).map_err(failed)?;
        schema::checkpoint(&self.db).map_err(failed)?;
        let Journal { db, lock, .. } = self;
        let (writer, thread) = start_writer(db, RowWriter::new(path, session, steps), lock);
        Ok(JournalSession { writer, thread, matcher })
    }
}

/// A session in progress.
pub(crate) struct JournalSession {
    pub(crate) writer: JournalWriter,
    pub(crate) thread: WriterThread,
    pub(crate) matcher: RecordMatcher,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

fn set_meta(db: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    db.execute("INSERT OR REPLACE INTO run (fact, value) VALUES (?, ?)", [name, value]).map(|_| ())
}

/// Initializes a file that was just created; removes it if that fails.
pub(super) fn begin(folder: &Path, claimed: (String, Lock, PathBuf), flow: &Flow) -> Result<Journal> {
    let (name, lock, path) = claimed;
    match schema::create(&path, |db| set_meta(db, "flow", flow.name())) {
        Ok(db) => Ok(Journal::new(name, path, db, lock)),
        Err(error) => {
            // If removing also fails, a later prune does it.
            let _ = super::folder::remove(folder, &name, lock);
            Err(error)
        }
    }
}
