//! Failing disks, damaged files, and other processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use llmspell_run::{Journals, Retention, RunEnd};
use serde_json::Value;

use crate::journal::world::{World, records};

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_written_ends_the_run_and_loses_nothing() {
    let world = World::new();
    let journal = world.begin();
    let full = "CREATE TRIGGER full BEFORE INSERT ON record WHEN NEW.id >= 60 \
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    world.db("f-1").execute_batch(full).unwrap();
    let (summary, page) = world.through(journal, &records(0..10_000)).await;
    let RunEnd::JournalFailed(error) = &summary.ending else { panic!("{:?}", summary.ending) };
    assert!(error.message().contains("the disk is full"), "{error}");
    assert!(error.hint().is_some());
    assert!(page.lines().len() <= 60, "no line goes out whose outcome is not safe");
    let calls = world.calls();
    assert!(calls.len() < 2000, "it takes no more records: {}", calls.len());

    world.db("f-1").execute_batch("DROP TRIGGER full").unwrap();
    let (summary, page) = world.through(world.resume(), &records(0..100)).await;
    assert!(matches!(summary.ending, RunEnd::Complete));
    assert!(page.outputs().into_iter().eq((0..100).map(Value::from)));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_have_different_errors() {
    let world = World::new();
    world.through(world.begin(), &records(0..20)).await;
    let folder = world.journals().folder().to_owned();
    let problem = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(format!("{name}.db")), bytes).unwrap();
        let error = world.journals().open(name).unwrap_err();
        assert!(world.journals().list().unwrap().iter().any(|run| run.name == name && run.problem().is_some()));
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    };
    let (message, hint) = problem("f-2", b"this is no database, but it is long enough to look like one to somebody");
    assert!(message.contains("not a database") && hint.contains(".recover"), "{message} {hint}");
    let other = rusqlite::Connection::open(folder.join("f-4.db")).unwrap();
    other.execute_batch("CREATE TABLE cat (name TEXT)").unwrap();
    assert!(world.journals().open("f-4").unwrap_err().message().contains("is not the journal"));
    // The process that began it was killed at once: it cannot be resumed, and is removed when runs are pruned.
    fs::write(folder.join("f-3.db"), "").unwrap();
    let error = world.journals().open("f-3").unwrap_err();
    assert!(error.message().contains("killed before it began"), "{error}");
    assert_eq!(world.journals().info("f-3").unwrap().state_label(), "cut short");
    assert_eq!(world.journals().prune(&Retention::default()).unwrap(), ["f-3"]);
    world.db("f-1").execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 99").unwrap();
    let error = world.journals().open("f-1").unwrap_err();
    assert!(error.message().contains("newer version"), "{error}");
    assert!(world.journals().open("f-9").unwrap_err().message().contains("there is no run"));
    assert!(world.journals().open("../f-1").is_err());
}

/// The effects of a machine crash on the end of the log: its last commits are cut off or overwritten.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_log_loses_only_its_tail() {
    for cut in [true, false] {
        let world = World::new();
        let journal = world.begin();
        // A reader prevents a checkpoint of the log, as a crash does.
        let reader = world.db("f-1");
        reader.execute_batch("BEGIN; SELECT * FROM record").unwrap();
        world.through(journal, &records(0..200)).await;
        world.calls();
        let folder = world.journals().folder().to_owned();
        let mut log = fs::read(folder.join("f-1.db-wal")).unwrap();
        assert!(log.len() > 100_000, "the log is where the records are: {}", log.len());
        let half = log.len() / 2;
        if cut {
            log.truncate(half + 7);
        } else {
            log[half..half + 5000].fill(0xA5);
        }
        fs::copy(folder.join("f-1.db"), folder.join("f-2.db")).unwrap();
        fs::write(folder.join("f-2.db-wal"), &log).unwrap();
        let torn = world.journals().open("f-2").unwrap();
        let (summary, page) = world.through(torn, &records(0..200)).await;
        assert!(matches!(summary.ending, RunEnd::Complete), "{:?}", summary.ending);
        assert!(page.outputs().into_iter().eq((0..200).map(Value::from)));
        assert!((1..200).contains(&summary.replayed), "{}", summary.replayed);
        assert!((1..400).contains(&world.calls().len()));
    }
}

/// A journal copied without its log, or with an overwritten beginning, has lost results, but not the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_loses_results_but_not_the_run() {
    for garbage in [None, Some(b"garbage ".repeat(1000))] {
        let world = World::new();
        world.plays(|_, n| if n.as_u64() < Some(50) { "fine" } else { "hangs" });
        let journal = world.begin();
        journal.set_meta("options", "[]").unwrap();
        let (run, page) = world.run(journal, &records(0..100));
        let mut running = tokio::task::JoinSet::new();
        running.spawn(async move { run.start(&llmspell::Context::new()).await });
        while page.lines().len() < 50 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let folder = world.journals().folder().to_owned();
        fs::copy(folder.join("f-1.db"), folder.join("f-2.db")).unwrap();
        if let Some(garbage) = garbage {
            fs::write(folder.join("f-2.db-wal"), garbage).unwrap();
        }
        running.shutdown().await;
        world.plays(|_, _| "fine");
        // It can be resumed, so it stays.
        assert!(!world.journals().prune(&Retention::default()).unwrap().contains(&"f-2".to_owned()));
        let lost = world.journals().open("f-2").unwrap();
        assert_eq!(lost.meta("options").unwrap().as_deref(), Some("[]"));
        let (summary, page) = world.through(lost, &records(0..100)).await;
        assert!(matches!(summary.ending, RunEnd::Complete), "{:?}", summary.ending);
        assert!(page.outputs().into_iter().eq((0..100).map(Value::from)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn companions_of_a_deleted_journal_are_removed() {
    let world = World::new();
    world.through(world.begin(), &records(0..3)).await;
    world.through(world.begin(), &records(0..3)).await;
    let folder = world.journals().folder().to_owned();
    fs::remove_file(folder.join("f-1.db")).unwrap();
    fs::write(folder.join("f-1.db-wal"), "of nothing").unwrap();
    // A third-party file.
    fs::write(folder.join("other-1.lock"), "1234").unwrap();
    fs::write(folder.join("other.lock"), "").unwrap();
    let running = world.begin();
    assert!(world.journals().prune(&Retention::default()).unwrap().is_empty());
    let mut left: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.retain(|name| !name.starts_with("f-3"));
    left.sort();
    assert_eq!(left, [".gitignore", "f-2.db", "f-2.lock", "other-1.lock", "other.lock"]);
    drop(running);
}

#[test]
fn run_names_count_up_and_belong_to_one_process() {
    let world = World::new();
    let (first, second) = (world.begin(), world.begin());
    assert_eq!((first.name(), second.name()), ("f-1", "f-2"));
    assert!(world.journals().open("f-2").is_err());
    first.set_meta("input", "in.jsonl").unwrap();
    drop(first);
    assert_eq!(world.resume().meta("input").unwrap().as_deref(), Some("in.jsonl"));
    let state = world.path("state");
    assert_eq!(fs::read_to_string(state.join("runs/.gitignore")).unwrap(), "*\n");
    let mode = |path: std::path::PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.join("runs")), 0o700);
    for entry in fs::read_dir(state.join("runs")).unwrap() {
        assert_eq!(mode(entry.unwrap().path()), 0o600);
    }
    let names: Vec<_> = world.journals().list().unwrap().into_iter().map(|run| run.name).collect();
    assert_eq!(names, ["f-2", "f-1"]);
}

#[test]
fn an_unwritable_folder_has_a_hint() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    let error = Journals::in_state(&world.path("file")).begin(&world.two_steps()).unwrap_err();
    assert!(error.hint().unwrap().contains("--no-journal"), "{error:#}");
    assert!(Journals::in_state(&world.path("nowhere")).list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_are_pruned_and_resumable_ones_stay() {
    let world = World::new();
    for _ in 0..5 {
        world.through(world.begin(), &records(0..3)).await;
    }
    let unfinished = world.begin();
    let mut retention = Retention::default();
    assert!(world.journals().prune(&retention).unwrap().is_empty());
    retention.keep = 2;
    assert_eq!(world.journals().prune(&retention).unwrap().len(), 3);
    retention.max_size = 0;
    assert_eq!(world.journals().prune(&retention).unwrap(), ["f-4", "f-5"]);
    let left: Vec<_> = world.journals().list().unwrap().into_iter().map(|run| run.name).collect();
    assert_eq!(left, ["f-6"]);
    drop(unfinished);
    world.journals().remove("f-6").unwrap();
    // Only `.gitignore` is left.
    assert_eq!(fs::read_dir(world.journals().folder()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_rows_or_in_the_journal() {
    // Cargo sets the variable for every test; its value is long and appears nowhere else.
    let secret = env!("CARGO_MANIFEST_DIR");
    let world = World::new();
    let step = |id: &str| {
        let with =
            format!("{{ step: {id}, n: \"${{{{ inputs.n }}}}\", secret: \"${{{{ secrets.CARGO_MANIFEST_DIR }}}}\" }}");
        format!("\n  - {{ id: {id}, tool: work, with: {with}, retry: {{ max: 2, base: 1ms }} }}")
    };
    let steps = step("a") + &step("b") + "\n";
    let flow = || world.flow("secrets: [CARGO_MANIFEST_DIR]", &steps);
    assert_eq!(flow().secret_in(&format!("q={secret}")), Some("CARGO_MANIFEST_DIR"));
    world.plays(|step, n| match (step, n.as_u64().unwrap() % 3) {
        ("a", _) => "degrades",
        (_, 0) => "tells",
        (_, 1) => "panics",
        _ => "degrades",
    });
    let (summary, page) = world.through_flow(flow(), world.journals().begin(&flow()).unwrap(), &records(0..9)).await;
    assert_eq!((summary.ok, summary.degraded, summary.failed), (3, 3, 6));
    assert!(!page.text().contains(secret) && page.text().contains("***"), "{}", page.text());
    assert!(!serde_json::to_string(&summary.report).unwrap().contains(secret));
    for entry in fs::read_dir(world.journals().folder()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

/// Damages the tables without regard to references between them.
fn execute_sql(world: &World, sql: &str) {
    world
        .db("f-1")
        .execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_counts_as_missing() {
    for damage in [
        "UPDATE record SET output = '{' WHERE id % 3 = 0; UPDATE record SET story = 'no' WHERE id % 3 = 1;",
        "UPDATE record SET output = x'ff' WHERE id % 3 = 0; UPDATE record SET output = cast(x'ff' AS TEXT) WHERE id % 3 = 1",
        "UPDATE record SET key = x'00' WHERE id % 3 = 0; UPDATE record SET key = 'no' WHERE id % 3 = 1",
        "UPDATE record SET status = 'what?' WHERE id % 3 = 0; UPDATE record SET session = 'one' WHERE id % 3 = 1",
        "UPDATE record SET took_ms = 'long' WHERE id % 3 = 0; UPDATE record SET blob = 'x' WHERE id % 3 = 1",
        "UPDATE record SET error = x'00' WHERE id % 3 = 0; UPDATE record SET story = 5 WHERE id % 3 = 1",
    ] {
        let world = World::new();
        world.through(world.begin(), &records(0..9)).await;
        world.calls();
        execute_sql(&world, damage);
        let (summary, page) = world.through(world.resume(), &records(0..9)).await;
        assert_eq!((summary.ok, summary.replayed, summary.gone), (9, 3, 0), "{damage}");
        let unknown = if damage.contains("what?") { 3 } else { 0 };
        assert_eq!(summary.damaged + unknown, 6, "{damage}");
        assert!(page.outputs().into_iter().eq((0..9).map(Value::from)), "{damage}");
        // Results of known records are not recomputed.
        assert_eq!(world.calls().len(), if damage.contains("key") { 12 } else { 0 }, "{damage}");
        let (summary, _) = world.through(world.resume(), &records(0..9)).await;
        assert_eq!((summary.replayed, summary.damaged, world.calls().len()), (9, 0, 0), "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_result_is_recomputed() {
    for (damage, damaged) in [
        ("UPDATE result SET output = '{' WHERE record % 2 = 0", 5),
        ("UPDATE result SET output = NULL WHERE record % 2 = 0", 5),
        ("UPDATE result SET story = x'00' WHERE record % 2 = 0", 5),
        ("UPDATE result SET blob = 77, output = NULL WHERE record % 2 = 0", 5),
        ("UPDATE result SET step = 77 WHERE record % 2 = 0 AND step = 1", 0),
    ] {
        let world = World::new();
        world.through(world.begin(), &records(0..9)).await;
        world.calls();
        // As if the run had been killed before their ends.
        execute_sql(&world, &format!("UPDATE record SET status = NULL; {damage}"));
        let (summary, page) = world.through(world.resume(), &records(0..9)).await;
        assert_eq!((summary.ok, summary.replayed, summary.damaged), (9, 0, damaged), "{damage}");
        assert!(page.outputs().into_iter().eq((0..9).map(Value::from)), "{damage}");
        assert_eq!(world.calls().len(), if damaged > 0 { 10 } else { 5 }, "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_large_output_is_recomputed() {
    for damage in [
        "DELETE FROM blob",
        "DELETE FROM blob WHERE id > 5",
        "DELETE FROM blob WHERE id % 2 = 1",
        "UPDATE blob SET data = '\"' || data",
        "UPDATE blob SET data = replace(data, 'x', 'y')",
        "UPDATE blob SET data = x'ff'",
        "UPDATE blob SET hash = x'00' || CAST(id AS BLOB)",
    ] {
        let world = World::new();
        world.plays(|_, _| "own");
        world.through(world.begin(), &records(0..9)).await;
        world.calls();
        let kept: u64 = world.db("f-1").query_row("SELECT max(id) FROM blob", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 18, "each step gives another output");
        execute_sql(&world, damage);
        for session in 0..2 {
            let (summary, page) = world.through(world.resume(), &records(0..9)).await;
            assert!(matches!(summary.ending, RunEnd::Complete), "{damage}: {:?}", summary.ending);
            assert_eq!((summary.ok, summary.gone), (9, 0), "{damage}");
            let outputs = page.outputs();
            let right = |n: usize| outputs[n].as_str().is_some_and(|text| text.starts_with(&format!("b {n} xx")));
            assert!((0..9).all(right), "{damage}: no record has the output of another");
            let again = world.calls().len();
            match session {
                0 => assert!((1..=9).contains(&summary.damaged) && (1..=18).contains(&again), "{damage}: {again}"),
                _ => assert_eq!((summary.replayed, summary.damaged, again), (9, 0, 0), "{damage}: it stays mended"),
            }
        }
    }
}

#[test]
fn only_a_folder_of_journals_is_excluded_from_version_control() {
    let world = World::new();
    drop(world.begin());
    let kept_out = world.journals().folder().join(".gitignore");
    fs::remove_file(&kept_out).unwrap();
    drop(world.begin());
    assert_eq!(fs::read_to_string(&kept_out).unwrap(), "*\n");
    fs::remove_file(&kept_out).unwrap();
    fs::write(world.journals().folder().join("thesis.tex"), "").unwrap();
    drop(world.begin());
    assert!(!kept_out.exists());
    assert!(!world.path("state").join(".gitignore").exists());
    // Another program created the folder, empty or with a database of its own.
    for theirs in ["", "people.db"] {
        let world = World::new();
        fs::create_dir_all(world.journals().folder()).unwrap();
        if !theirs.is_empty() {
            fs::write(world.journals().folder().join(theirs), "").unwrap();
        }
        drop(world.begin());
        assert!(!world.journals().folder().join(".gitignore").exists(), "{theirs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_by_their_metadata_in_any_json() {
    let world = World::new();
    world.through(world.begin(), &records(0..4)).await;
    let db = world.db("f-1");
    db.execute("UPDATE session SET ended = NULL, ending = NULL", []).unwrap();
    for (id, meta) in [(0, r#"{"causes": [], "quality": "partial"}"#), (1, r#"{"causes": []}"#), (2, r#"{"quality":"#)]
    {
        db.execute("UPDATE record SET story = ? WHERE id = ?", rusqlite::params![meta, id]).unwrap();
    }
    let counts = world.journals().info("f-1").unwrap().record.unwrap().counts.unwrap();
    assert_eq!((counts.ok, counts.degraded, counts.failed), (4, 1, 0));
}

/// Even while readers look at it, and after it was resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_journal_is_one_file() {
    let world = World::new();
    let files = || {
        let names = fs::read_dir(world.journals().folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    for session in 0..3 {
        let journal = if session == 0 { world.begin() } else { world.resume() };
        // Closing waits for a reader; here the reader reads until after the end.
        let reader = (session == 0).then(|| world.db("f-1"));
        reader.iter().for_each(|reader| reader.execute_batch("BEGIN; SELECT * FROM record").unwrap());
        let records = records(0..20 + session);
        let closed = world.through(journal, &records);
        let read = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            drop(reader);
        };
        tokio::join!(closed, read);
        assert_eq!(files(), [".gitignore", "f-1.db", "f-1.lock"], "after session {session}");
        let listed = world.journals().list().unwrap();
        assert_eq!(listed[0].record.as_ref().unwrap().sessions, session + 1);
        world.journals().info("f-1").unwrap();
        assert_eq!(files(), [".gitignore", "f-1.db", "f-1.lock"], "after a look at session {session}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_has_a_suggestion() {
    let world = World::new();
    for _ in 0..2 {
        drop(world.begin());
    }
    for wrong in ["f", "f-9", "f-22", "g-2"] {
        let hint = world.journals().info(wrong).unwrap_err().hint().unwrap().to_owned();
        assert_eq!(hint, "did you mean f-2? `llmspell runs` lists all", "{wrong}");
    }
    assert!(world.journals().open("something").unwrap_err().hint().unwrap().starts_with("`llmspell runs` lists"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ran_nothing_does_not_replace_the_report() {
    let world = World::new();
    world.plays(|step, n| if step == "b" && n == 3 { "failed" } else { "fine" });
    world.through(world.begin(), &records(0..9)).await;
    let report = || world.journals().info("f-1").unwrap().record.unwrap().report.unwrap();
    let first = report();
    world.through(world.resume(), &records(0..9)).await;
    assert_eq!(report(), first);
    let run_record = world.journals().list().unwrap().remove(0).record.unwrap();
    assert_eq!(run_record.counts.map(|counts| (counts.ok, counts.degraded, counts.failed)), Some((8, 0, 1)));
    assert!(run_record.last_began > run_record.began && run_record.report.is_none());
    world.through(world.resume().retry(llmspell_run::RetryFilter::Failed), &records(0..9)).await;
    assert_ne!(report(), first);
}

/// Another process locks the file, and releases it only after the runtime has polled a few times.
#[tokio::test]
async fn a_slow_journal_does_not_block_the_runtime() {
    let world = World::new();
    let journal = world.begin();
    let other = world.db("f-1");
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let others = async {
        for _ in 0..20 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        other.execute_batch("ROLLBACK").unwrap();
    };
    let lines = records(0..3);
    let ((summary, _), ()) = tokio::join!(world.through(journal, &lines), others);
    assert_eq!(summary.ok, 3);
}
