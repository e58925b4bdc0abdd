//! Properties of matching for any input: no row serves twice, and no row that matches is left over.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use llmspell_flow::internal::Fingerprint;
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::{Match, RecordMatcher};
use crate::journal::keys::keys;
use crate::journal::retry_filter::RetryFilter;
use crate::journal::schema;

const FLOW: Fingerprint = Fingerprint([7; 16]);

struct Case {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    db: Connection,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.db");
        File::create(&path).unwrap();
        let db = schema::create(&path, |_| Ok(())).unwrap();
        db.execute("INSERT INTO session (flow, pid, began) VALUES (?, 1, '')", [FLOW.0]).unwrap();
        Case { _folder: folder, path, db }
    }

    /// An outcome whose output is the number of its row.
    fn finish(&self, id: u64, record: u8) {
        let row = "INSERT INTO record (id, key, line, session, status, output) VALUES (?, ?, 0, 1, 'ok', ?)";
        let key = keys(Some(record.to_string().as_bytes()), None).key;
        self.db.execute(row, params![id, key, id.to_string()]).unwrap();
    }

    /// Runs a session over these records; returns for each its number, and whether it has an outcome.
    fn session(&self, records: &[u8]) -> (Vec<(u64, bool)>, u64) {
        let mut matcher =
            RecordMatcher::new(&self.path, &self.db, FLOW, RetryFilter::None, None, Arc::new(HashMap::new())).unwrap();
        let admit = |(line, record): (usize, &u8)| match matcher
            .match_record(line as u64, Some(record.to_string().as_bytes()))
            .unwrap()
        {
            Match::New(id) => (id, false),
            Match::Retry(retry) => (retry.record.id, false),
            Match::Finished(finished) => (finished.output.unwrap().parse().unwrap(), true),
            Match::NoJournal => unreachable!(),
        };
        let admitted = records.iter().enumerate().map(admit).collect();
        (admitted, matcher.stats().gone.load(Ordering::Relaxed))
    }
}

fn counted(records: impl Iterator<Item = u8>) -> HashMap<u8, usize> {
    let mut counts = HashMap::new();
    records.for_each(|record| *counts.entry(record).or_default() += 1);
    counts
}

fn check(before: &[(u8, bool)], now: &[u8]) -> Result<(), TestCaseError> {
    let case = Case::new();
    for (id, (record, is_finished)) in before.iter().enumerate() {
        if *is_finished {
            case.finish(id as u64, *record);
        }
    }
    let rows = counted(before.iter().filter(|(_, is_finished)| *is_finished).map(|(record, _)| *record));
    let (admitted, gone) = case.session(now);
    let numbers: HashSet<u64> = admitted.iter().map(|(id, _)| *id).collect();
    prop_assert_eq!(numbers.len(), now.len(), "no number is given twice: {:?}", &admitted);
    for (record, lines) in counted(now.iter().copied()) {
        let found: Vec<u64> = admitted
            .iter()
            .zip(now)
            .filter(|((_, done), now)| *done && **now == record)
            .map(|((id, _), _)| *id)
            .collect();
        prop_assert_eq!(found.len(), lines.min(rows.get(&record).copied().unwrap_or(0)), "of {}", record);
        prop_assert!(found.is_sorted(), "equal ones in turn: {:?}", found);
        prop_assert!(found.iter().all(|id| before[*id as usize] == (record, true)));
    }
    let done = admitted.iter().filter(|(_, done)| *done).count();
    prop_assert_eq!(gone as usize, rows.values().sum::<usize>() - done);
    // A new record does not displace an existing one.
    for ((id, _), record) in admitted.iter().zip(now).filter(|((_, done), _)| !done) {
        case.finish(*id, *record);
    }
    let (again, _) = case.session(now);
    prop_assert!(again.iter().all(|(_, done)| *done), "{:?}", again);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_input_finds_its_rows(before in vec((0..12_u8, prop::bool::weighted(0.8)), 0..40), now in vec(0..12_u8, 0..40)) {
        check(&before, &now)?;
    }

    #[test]
    fn the_same_input_finds_each_row_in_its_place(before in vec((any::<u8>(), Just(true)), 0..40)) {
        let now: Vec<u8> = before.iter().map(|(record, _)| *record).collect();
        let case = Case::new();
        before.iter().enumerate().for_each(|(id, (record, _))| case.finish(id as u64, *record));
        let (admitted, gone) = case.session(&now);
        prop_assert!(admitted.into_iter().eq((0..now.len() as u64).map(|id| (id, true))));
        prop_assert_eq!(gone, 0);
    }

    #[test]
    fn an_input_that_was_cut_finds_the_rest(
        before in vec((any::<u8>(), prop::bool::weighted(0.9)), 1..60), from in 0..60_usize, to in 0..60_usize
    ) {
        let now: Vec<u8> = before.iter().map(|(record, _)| *record).collect();
        let (from, to) = (from.min(now.len()), to.min(now.len()));
        check(&before, &[&now[..from.min(to)], &now[from.max(to)..]].concat())?;
    }
}
