//! States of runs: their names, the run that a command works on by default, and the messages about ended runs.

use std::path::Path;

use serde_json::Value;

use crate::program::{Folder, lines, until, wait};

/// A flow whose records fail if `bad` is 1, and otherwise take `ms` milliseconds.
const FLOW: &str = "flow: f\nsteps:\n  - { id: a, tool: slow, limit: 2, with: { delay_ms: \"${{ inputs.ms }}\", \
                    failure_rate: \"${{ inputs.bad }}\" } }\n";

fn folder(good: usize, bad: usize) -> Folder {
    let records = "{\"ms\":1,\"bad\":0}\n".repeat(good) + &"{\"ms\":1,\"bad\":1}\n".repeat(bad);
    Folder::new().with("f.yaml", FLOW).with("in.jsonl", records)
}

const RUN: [&str; 6] = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];

#[cfg(unix)]
fn interrupt(child: &tokio::process::Child) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

async fn begun(folder: &Folder) {
    until("a line of output", || folder.path("out.jsonl.partial").metadata().is_ok_and(|about| about.len() > 0)).await;
}

#[tokio::test]
async fn a_paused_run_is_shown_as_paused() {
    // Long enough for the commands below on a slow machine.
    let folder = folder(0, 0).with("in.jsonl", "{\"ms\":20,\"bad\":0}\n".repeat(2000));
    let child = folder.start(&[&RUN[..], &["--progress", "json"]].concat());
    begun(&folder).await;
    assert!(folder.run(&["runs"]).await.out.starts_with("f-1  running  "));
    assert!(folder.run(&["runs", "pause", "f-1"]).await.out.starts_with("paused"));
    let listed = folder.run(&["runs"]).await.out;
    assert!(listed.starts_with("f-1  paused  ") && listed.ends_with(" admitted\n"), "{listed}");
    assert!(folder.run(&["runs", "show", "f-1"]).await.out.contains("\nstate       paused\n"));
    let shown: Value = serde_json::from_str(&folder.run(&["runs", "show", "f-1", "--json"]).await.out).unwrap();
    assert_eq!(shown["state"], "paused");
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    folder.run(&["runs", "continue", "f-1"]).await;
    assert!(folder.run(&["runs"]).await.out.starts_with("f-1  running  "));
    folder.run(&["runs", "drain", "f-1"]).await;
    let run = wait(child).await;
    // Every line is an object.
    let reported = lines(&run.err);
    assert!(reported.iter().any(|line| line["paused"] == true) && reported.iter().any(|line| line["paused"] == false));
    let summary = &reported.iter().find(|line| line["summary"].is_object()).unwrap()["summary"];
    assert_eq!((&summary["run"], &summary["ending"]), (&"f-1".into(), &"drained".into()));
    assert_eq!(summary["resume"], "llmspell resume f-1");
    assert_eq!(reported.last().unwrap()["ending"], "drained");
    let listed = folder.run(&["runs"]).await.out;
    let to_do = summary["not_admitted"]["records"].as_u64().unwrap();
    let to_do = if to_do > 999 { format!("  1,{:03} to do\n", to_do % 1000) } else { format!("  {to_do} to do\n") };
    assert!(listed.starts_with("f-1  interrupted  ") && listed.ends_with(&to_do), "{listed}");
}

#[cfg(unix)]
#[tokio::test]
async fn runs_are_listed_in_columns_latest_first() {
    let folder = folder(3, 2).with("g-slow.yaml", FLOW.replace("flow: f", "flow: g-slow"));
    assert_eq!(folder.run(&RUN).await.code, Some(3));
    let slow = "{\"ms\":20,\"bad\":0}\n".repeat(200);
    std::fs::write(folder.path("slow.jsonl"), slow).unwrap();
    let child = folder.start(&["run", "g-slow.yaml", "-i", "slow.jsonl", "-o", "out.jsonl"]);
    begun(&folder).await;
    interrupt(&child);
    wait(child).await;
    std::fs::write(folder.path("good.jsonl"), "{\"ms\":1,\"bad\":0}\n".repeat(12)).unwrap();
    assert_eq!(folder.run(&["run", "f.yaml", "-i", "good.jsonl", "-q"]).await.code, Some(0));
    let listed = folder.run(&["runs"]).await.out;
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[0].starts_with("f-2       complete     20") && rows[0].ends_with("  12 ok"), "{listed}");
    assert!(rows[1].starts_with("g-slow-1  interrupted  20") && rows[1].ends_with(" to do"), "{listed}");
    assert!(rows[2].starts_with("f-1       complete     20") && rows[2].ends_with("   3 ok  2 failed"), "{listed}");
    // The latest run is the one whose last session began last, even if that resumed it.
    assert!(folder.run(&["report"]).await.out.starts_with("f-2  complete  "));
    assert_eq!(folder.run(&["resume", "f-1"]).await.code, Some(3));
    let report = folder.run(&["report"]).await.out;
    assert!(report.starts_with("f-1  complete  "), "{report}");
    // No record ran in that session, so the report is that of the session before.
    assert!(report.contains("\nstep  ") && report.contains("2 × f.a: failed"), "{report}");
    let resumed = folder.run(&["resume"]).await;
    let said = "resuming g-slow-1; f-1, which started later, is complete\n";
    assert!(resumed.code == Some(0) && resumed.err.contains(said), "{resumed:?}");
}

#[tokio::test]
async fn a_complete_run_is_resumed_only_for_its_failed_records() {
    let folder = folder(3, 2);
    let ended = folder.run(&RUN).await;
    assert!(ended.err.contains("output: out.jsonl\nrun: f-1, complete\n"), "{}", ended.err);
    let ended = folder.run(&["resume"]).await;
    let reported = "error: f-1 is complete: 3 ok, 2 failed\n\nhint: run the failed records again: llmspell resume f-1 --only-failed\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), reported));
    for what in ["pause", "continue", "drain"] {
        let ended = folder.run(&["runs", what, "f-1"]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.err.starts_with("error: the run f-1 is not running (complete)\n\nhint: the run is complete"));
        assert!(!ended.err.contains("resume"), "{}", ended.err);
    }
    std::fs::write(folder.path("f.yaml"), FLOW.replace("${{ inputs.bad }}", "${{ 0 }}")).unwrap();
    let ended = folder.run(&["resume", "--only-failed"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = folder.run(&["resume", "--only-failed"]).await;
    let reported = "error: f-1 is complete: 5 ok\n\nhint: see its report with `llmspell report f-1`\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), reported));
}

#[tokio::test]
async fn unknown_run_names_have_a_suggestion() {
    let folder = folder(1, 0);
    for _ in 0..2 {
        folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-q"]).await;
    }
    for args in [
        &["report", "f"][..],
        &["resume", "f"],
        &["report", "f-3"],
        &["runs", "show", "f"],
        &["runs", "set", "f", "limit.a=3"],
        &["runs", "pause", "g-2"],
        &["runs", "rm", "f"],
    ] {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.err.ends_with("\n\nhint: did you mean f-2? `llmspell runs` lists all\n"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_quiet_run_has_a_report_without_steps() {
    let folder = folder(3, 2);
    for quiet in [&["-q"][..], &["--report", "none"]] {
        assert_eq!(folder.run(&[&RUN[..], quiet].concat()).await.code, Some(3));
        let report = folder.run(&["report"]).await.out;
        assert!(report.contains("\n5 records in ") && report.contains("3 ok, 2 failed\n"), "{report}");
        assert!(report.contains("a run with -q or --report none does not record"), "{report}");
        assert!(report.contains("failed:\n  2 × f.a: failed\n      first at line 4: "), "{report}");
    }
}

#[tokio::test]
async fn repeated_causes_are_listed_once() {
    let flow = FLOW.replace(" } }\n", " }, retry: { max: 3, base: 1ms } }\n");
    let folder = folder(0, 1).with("f.yaml", flow);
    assert_eq!(folder.run(&RUN).await.code, Some(3));
    let first = folder.read("out.jsonl");
    let causes = &lines(&first)[0]["error"]["causes"];
    assert!(causes.as_array().unwrap().len() == 1 && causes[0]["times"] == 3, "{first}");
    // Also if they come from the journal.
    assert_eq!(folder.run(&["resume", "f-1"]).await.code, Some(3));
    assert_eq!(folder.read("out.jsonl"), first);
}

#[tokio::test]
async fn prune_reads_the_configuration() {
    let folder = folder(1, 0).with("llmspell.toml", "[journal]\nkeep = 2\n");
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-q", "--journal-keep", "9"];
    for _ in 0..4 {
        folder.run(&args).await;
    }
    assert_eq!(folder.run(&["runs", "prune", "--journal-keep", "3"]).await.out, "removed: f-1\n");
    let mut command = folder.command(&["runs", "prune"]);
    command.env("LLMSPELL_JOURNAL_KEEP", "");
    assert_eq!(wait(command.spawn().unwrap()).await.out, "removed: f-2\n");
    let reported = folder.run(&["runs", "prune"]).await.out;
    assert!(reported.starts_with("nothing to remove: the last 2 complete runs"), "{reported}");
}

#[tokio::test]
async fn the_error_about_a_partial_file_names_its_run() {
    let folder = folder(3000, 0);
    std::fs::create_dir(folder.path("deep")).unwrap();
    let mut child = folder.start(&RUN);
    begun(&folder).await;
    child.kill().await.unwrap();
    let hint = "hint: the run f-1 left it; resume that run: llmspell resume f-1 --allow net=a.org\nhint: --force ";
    let ended = folder.run(&[&RUN[..], &["--allow", "net=a.org"]].concat()).await;
    assert!(ended.code == Some(2) && ended.err.contains(hint), "{}", ended.err);
    // With another path of the same file.
    let absolute = folder.path("out.jsonl");
    for output in ["deep/../out.jsonl", absolute.to_str().unwrap()] {
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", output]).await;
        assert!(ended.err.contains("hint: the run f-1 left it"), "{}", ended.err);
    }
    // And not if the run is unknown.
    std::fs::write(folder.path("x.partial"), "x").unwrap();
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "x"]).await;
    assert!(ended.err.contains("hint: an interrupted run left it"), "{}", ended.err);
}

#[tokio::test]
async fn with_progress_json_errors_are_objects() {
    let folder = folder(1, 0).with("wrong.yaml", "flow: w\nsteps: [{ id: a, tool: txt }]\n");
    for (flow, more, code) in [("wrong.yaml", &[][..], 2), ("f.yaml", &["--state", "in.jsonl"], 2)] {
        let args = [&["run", flow, "-i", "in.jsonl", "--progress", "json"][..], more].concat();
        let ended = folder.run(&args).await;
        let reported = lines(&ended.err);
        assert_eq!(ended.code, Some(code));
        assert!(
            reported.len() == 1 && reported[0]["error"].is_string() && reported[0]["hint"].is_string(),
            "{}",
            ended.err
        );
    }
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--progress", "json", "--report", "none"]).await;
    assert!(lines(&ended.err).last().unwrap()["summary"]["ok"] == 1, "{}", ended.err);
}

#[tokio::test]
async fn reading_an_ended_run_leaves_one_file() {
    let folder = folder(5, 1);
    let beside = || {
        let names = std::fs::read_dir(folder.path(".llmspell/runs")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| is_log(path)).count()
    };
    assert_eq!(folder.run(&RUN).await.code, Some(3));
    assert_eq!(beside(), 0);
    for args in [&["runs"][..], &["runs", "show", "f-1"], &["report"], &["resume", "f-1"], &["runs"]] {
        folder.run(args).await;
        assert_eq!(beside(), 0, "{args:?}");
    }
    // Nor does a session that cannot begin.
    let mut elsewhere = folder.command(&["resume", "f-1", "--state", "../.llmspell"]);
    std::fs::create_dir(folder.path("deep")).unwrap();
    let ended = wait(elsewhere.current_dir(folder.path("deep")).spawn().unwrap()).await;
    assert!(ended.code == Some(2) && ended.err.contains("was started in another folder"), "{ended:?}");
    folder.run(&["runs"]).await;
    assert_eq!(beside(), 0);
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending != "db" && ending != "lock")
}

/// The run was killed between two commits of its beginning.
#[tokio::test]
async fn a_run_killed_before_it_began_cannot_be_resumed() {
    let folder = folder(1, 0);
    std::fs::create_dir_all(folder.path(".llmspell/runs")).unwrap();
    std::fs::write(folder.path(".llmspell/runs/f-1.db"), "").unwrap();
    assert!(folder.run(&["runs"]).await.out.starts_with("f-1  cut short"));
    let ended = folder.run(&["resume", "f-1"]).await;
    assert!(ended.code == Some(2) && ended.err.contains("killed before it began"), "{ended:?}");
    assert!(ended.err.ends_with("hint: start a new run: `llmspell run`\n"), "{ended:?}");
    assert_eq!(folder.run(&RUN).await.code, Some(0));
    // The next complete run removes it.
    assert!(folder.run(&["runs"]).await.out.starts_with("f-2  complete"));
    assert_eq!(folder.run(&["runs"]).await.out.lines().count(), 1);
}
