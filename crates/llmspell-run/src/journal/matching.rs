//! Matches the lines of the input with the records of the journal.
//!
//! As long as the input is the same as in earlier sessions, the row with the number of the record has its key, and the
//! rows are read in sequence. A row with another key means that the input has changed. From there on, rows are found
//! by their keys; rows with equal keys are taken in their order. No row serves twice.

#[cfg(test)]
mod properties;
mod record_row;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use llmspell::{Error, ErrorKind, Result};
use llmspell_flow::internal::{Fingerprint, StepKey};
use rusqlite::{Connection, OptionalExtension, params};

use super::claims::ClaimedRows;
use super::fault::fault;
use super::keys::{Keys, keys};
use super::memo::{PriorResults, StoredResult};
use super::retry_filter::RetryFilter;
use super::schema;
use super::write_command::RecordId;
pub(crate) use record_row::FinishedRecord;
use record_row::{RecordRow, lenient, lenient_text, read_ahead, read_by_id};

/// The match of a record in the journal.
#[derive(Default)]
pub(crate) enum Match {
    /// The run has no journal.
    #[default]
    NoJournal,
    /// The record is new and gets this number.
    New(u64),
    /// The record runs again, with its prior results.
    Retry(RetryRecord),
    /// The record has an outcome.
    Finished(Box<FinishedRecord>),
}

/// A record that runs again.
pub(crate) struct RetryRecord {
    pub(crate) record: Arc<RecordId>,
    pub(crate) prior_results: Option<PriorResults>,
    /// Whether the row under its number is of another record.
    pub(crate) is_other_record: bool,
}

/// The largest number of rows after a missing one that are searched in memory; for more, the file gets an index.
const TAIL: u64 = 1 << 16;

/// The condition for a key that is not damaged.
const WHOLE_KEY: &str = "typeof(key) = 'blob' AND length(key) = 16";

pub(crate) struct RecordMatcher {
    path: PathBuf,
    /// `None` if the journal has no records.
    db: Option<Connection>,
    /// The declared field that is the key.
    field: Option<Arc<str>>,
    /// The sessions whose outcomes are of this version of the flow.
    same_flow: HashSet<i64>,
    retry: RetryFilter,
    steps: Arc<HashMap<StepKey, i64>>,
    /// The number of lines so far.
    position: u64,
    /// The number of the next new record, if it is not the number of its position.
    next_new: u64,
    /// The largest number at the beginning, plus one.
    end: u64,
    ahead: VecDeque<RecordRow>,
    claims: ClaimedRows,
    relocated: RelocatedRows,
    stats: Arc<MatchStats>,
}

/// The statistics that the run reads.
#[derive(Default)]
pub(crate) struct MatchStats {
    /// The number of records in the journal that have not been found in the input so far.
    pub(crate) gone: AtomicU64,
    /// The number of records that run again because their rows are damaged.
    pub(crate) damaged: AtomicU64,
    /// The error because of which the journal cannot be read.
    pub(crate) failure: OnceLock<Error>,
}

/// The search for a row that is not at the position of the line.
enum RelocatedRows {
    /// No search so far: all lines were at their positions.
    InPlace,
    /// Some rows are missing; the rows after the first missing one, by key.
    Tail(HashMap<[u8; 16], VecDeque<u64>>),
    /// By the index. For keys of several rows: the last row that has been claimed.
    Indexed(HashMap<[u8; 16], u64>),
}

impl RecordMatcher {
    /// Reads the file at `path`; `db` is already a connection to it.
    pub(super) fn new(
        path: &Path,
        db: &Connection,
        flow: Fingerprint,
        retry: RetryFilter,
        field: Option<&str>,
        steps: Arc<HashMap<StepKey, i64>>,
    ) -> Result<Self> {
        let failed = |error| fault("reading", path, error);
        let bounds = format!("SELECT coalesce(max(id) + 1, 0), count(*) FILTER (WHERE {WHOLE_KEY}) FROM record");
        let (end, rows) = db.query_row(&bounds, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        let same_flow = || {
            let mut sessions = db.prepare("SELECT id FROM session WHERE flow = ?")?;
            sessions.query_map([flow.0], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        let last = "SELECT ending FROM session ORDER BY id DESC LIMIT 1";
        let last = db.query_row(last, [], |row| row.get::<_, Option<String>>(0)).optional().map_err(failed)?;
        let retry = match retry {
            RetryFilter::None if last.flatten().as_deref() == Some("stopped") => {
                RetryFilter::Kinds(vec![ErrorKind::Denied])
            }
            retry => retry,
        };
        Ok(RecordMatcher {
            path: path.to_owned(),
            db: if end > 0 { Some(schema::open(path)?) } else { None },
            field: field.map(Arc::from),
            same_flow: same_flow().map_err(failed)?,
            retry,
            steps,
            position: 0,
            next_new: end,
            end,
            ahead: VecDeque::new(),
            claims: ClaimedRows::default(),
            relocated: RelocatedRows::InPlace,
            stats: Arc::new(MatchStats { gone: AtomicU64::new(rows), ..MatchStats::default() }),
        })
    }

    pub(crate) fn stats(&self) -> Arc<MatchStats> {
        self.stats.clone()
    }

    /// Matches the next record of the input; `text` is its line without the line end.
    ///
    /// # Errors
    /// If the journal cannot be read; [`MatchStats::failure`] has the error, too.
    pub(crate) fn match_record(&mut self, line: u64, text: Option<&[u8]>) -> Result<Match> {
        self.match_position(line, text).map_err(|error| {
            let error = fault("reading", &self.path, error);
            let _ = self.stats.failure.set(error.clone());
            error
        })
    }

    fn match_position(&mut self, line: u64, text: Option<&[u8]>) -> rusqlite::Result<Match> {
        let position = self.position;
        self.position += 1;
        let in_place = !matches!(self.relocated, RelocatedRows::Indexed(_));
        if in_place && position >= self.end {
            self.next_new = position + 1;
            return Ok(Match::New(position));
        }
        let keys = keys(text, self.field.as_deref());
        let Some(row) = self.find(position, &keys)? else {
            let id = if matches!(self.relocated, RelocatedRows::Indexed(_)) {
                self.next_new += 1;
                self.next_new - 1
            } else {
                // Its row is missing: the record was in flight.
                self.claims.claim(position);
                position
            };
            let record = Arc::new(RecordId { id, key: keys.key, content: keys.content, line });
            return Ok(Match::Retry(RetryRecord { record, prior_results: None, is_other_record: false }));
        };
        self.claims.claim(row.id);
        self.stats.gone.fetch_sub(1, Ordering::Relaxed);
        self.decide(line, &keys, row)
    }

    /// Returns the row of a record, if there is one.
    fn find(&mut self, position: u64, keys: &Keys) -> rusqlite::Result<Option<RecordRow>> {
        let Some(db) = &self.db else { return Ok(None) };
        if matches!(self.relocated, RelocatedRows::InPlace | RelocatedRows::Tail(_)) {
            while self.ahead.front().is_some_and(|row| row.id < position) {
                self.ahead.pop_front();
            }
            if self.ahead.is_empty() {
                self.ahead = read_ahead(db, position, self.end)?;
            }
            let in_place = self.ahead.front().filter(|row| row.id == position).map(|row| row.key);
            if in_place == Some(None) {
                self.stats.damaged.fetch_add(1, Ordering::Relaxed);
            }
            match in_place.flatten().map(|key| key == keys.key) {
                Some(true) => return Ok(self.ahead.pop_front()),
                None if self.is_in_flight(position, keys)? => return Ok(None),
                _ => {}
            }
            self.ahead.clear();
            self.build_index()?;
        }
        self.find_by_key(keys)
    }

    /// Whether no row after a missing one has this key: then the record was in flight.
    fn is_in_flight(&mut self, position: u64, keys: &Keys) -> rusqlite::Result<bool> {
        let Some(db) = &self.db else { return Ok(true) };
        if let RelocatedRows::InPlace = self.relocated {
            if self.end - position > TAIL {
                return Ok(false);
            }
            let mut tail = HashMap::<_, VecDeque<u64>>::new();
            let rows = format!("SELECT id, key FROM record WHERE id >= ? AND id < ? AND {WHOLE_KEY}");
            let mut rows = db.prepare(&rows)?;
            let mut rows = rows.query(params![position, self.end])?;
            while let Some(row) = rows.next()? {
                tail.entry(row.get(1)?).or_default().push_back(row.get(0)?);
            }
            self.relocated = RelocatedRows::Tail(tail);
        }
        let RelocatedRows::Tail(tail) = &mut self.relocated else { return Ok(false) };
        let Some(rows) = tail.get_mut(&keys.key) else { return Ok(true) };
        while rows.front().is_some_and(|row| *row < position) {
            rows.pop_front();
        }
        Ok(rows.is_empty())
    }

    fn build_index(&mut self) -> rusqlite::Result<()> {
        if let Some(db) = &self.db {
            db.execute_batch("CREATE INDEX IF NOT EXISTS record_by_key ON record (key, id)")?;
        }
        self.next_new = self.next_new.max(self.position);
        self.relocated = RelocatedRows::Indexed(HashMap::new());
        Ok(())
    }

    fn find_by_key(&mut self, keys: &Keys) -> rusqlite::Result<Option<RecordRow>> {
        let (Some(db), RelocatedRows::Indexed(claimed)) = (&self.db, &mut self.relocated) else { return Ok(None) };
        let mut after = claimed.get(&keys.key).map_or(-1, |id| id.cast_signed());
        let next = "SELECT id FROM record WHERE key = ? AND id > ? AND id < ? ORDER BY id LIMIT 1";
        let mut next = db.prepare_cached(next)?;
        loop {
            let id: Option<u64> = next.query_row(params![keys.key, after, self.end], |row| row.get(0)).optional()?;
            match id {
                None => return Ok(None),
                Some(id) if self.claims.has(id) => {
                    claimed.insert(keys.key, id);
                    after = id.cast_signed();
                }
                Some(id) => {
                    return read_by_id(db, id).map(Some);
                }
            }
        }
    }

    /// Decides whether the record runs again.
    fn decide(&self, line: u64, keys: &Keys, row: RecordRow) -> rusqlite::Result<Match> {
        let is_other_record = row.content != keys.content;
        let record = || Arc::new(RecordId { id: row.id, key: keys.key, content: keys.content, line });
        if is_other_record {
            self.stats.damaged.fetch_add(row.is_damaged.into(), Ordering::Relaxed);
            return Ok(Match::Retry(RetryRecord { record: record(), prior_results: None, is_other_record }));
        }
        let is_done = row.session.is_some_and(|session| self.same_flow.contains(&session))
            && match row.status.as_deref() {
                Some("ok") => true,
                Some("failed") => !self.retry.selects(row.finished.error.as_deref()),
                _ => false,
            };
        let mut is_damaged = row.is_damaged;
        if is_done {
            let mut finished = row.finished;
            if let Some(blob) = row.blob {
                finished.output = self.blob(blob)?;
            }
            // A damaged outcome counts as missing: the record runs again.
            if !is_damaged && finished.is_readable() {
                return Ok(Match::Finished(Box::new(finished)));
            }
            is_damaged = true;
        }
        let prior_results = self.prior_results(row.id, &mut is_damaged)?;
        if is_damaged {
            self.stats.damaged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Match::Retry(RetryRecord { record: record(), prior_results, is_other_record }))
    }

    /// Returns a large output; `None` if it is missing or its hash is wrong.
    fn blob(&self, id: i64) -> rusqlite::Result<Option<String>> {
        let Some(db) = &self.db else { return Ok(None) };
        let mut large = db.prepare_cached("SELECT hash, data FROM blob WHERE id = ?")?;
        let large =
            large.query_row([id], |row| Ok((row.get::<_, [u8; 16]>(0).ok(), lenient_text(row, 1)?))).optional()?;
        Ok(large.and_then(|(hash, data)| {
            let data = data.flatten()?;
            (hash == Some(Fingerprint::of(data.as_bytes()).0)).then_some(data)
        }))
    }

    /// Returns the prior results of a record; damaged ones are left out and reported in `is_damaged`.
    fn prior_results(&self, id: u64, is_damaged: &mut bool) -> rusqlite::Result<Option<PriorResults>> {
        let Some(db) = &self.db else { return Ok(None) };
        let mut kept = db.prepare_cached("SELECT step, item, output, story, blob FROM result WHERE record = ?")?;
        let mut rows = kept.query([id])?;
        let mut results = HashMap::new();
        while let Some(row) = rows.next()? {
            let (output, meta) = (lenient_text(row, 2)?, lenient_text(row, 3)?);
            let output = match lenient::<Option<i64>>(row, 4)? {
                Some(None) => output.flatten(),
                Some(Some(blob)) => self.blob(blob)?,
                None => None,
            };
            let stored = output.zip(meta).map(|(output, meta)| StoredResult { output, meta });
            let place = lenient::<i64>(row, 0)?.zip(lenient::<String>(row, 1)?);
            match (place, stored.filter(StoredResult::is_readable)) {
                (Some((step, item)), Some(stored)) => {
                    results.insert((step, item.into()), stored);
                }
                _ => *is_damaged = true,
            }
        }
        Ok((!results.is_empty()).then(|| PriorResults { steps: self.steps.clone(), results }))
    }
}
