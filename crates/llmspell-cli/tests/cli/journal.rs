//! Failures of the journal, as its user sees them.

use std::process::Stdio;

use crate::program::{Folder, Output, lines, wait};

const FLOW: &str = "flow: f\nsteps:\n  - { id: a, tool: slow, limit: 4, with: { value: \"${{ inputs.n }}\" } }\n";

fn folder() -> Folder {
    Folder::new().with("f.yaml", FLOW).with("in.jsonl", records(0..200))
}

fn records(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// Runs the program with a limit on the size of files, in blocks of the shell.
async fn limited(folder: &Folder, blocks: u32) -> Output {
    let mut command = tokio::process::Command::new("sh");
    let run = format!("ulimit -f {blocks}; exec \"$0\" run f.yaml -i in.jsonl -o out.jsonl");
    command.args(["-c", &run, env!("CARGO_BIN_EXE_llmspell")]).current_dir(folder.path("")).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().unwrap()).await
}

/// By default, the system ends the process with SIGXFSZ, silently.
#[cfg(unix)]
#[tokio::test]
async fn a_file_size_limit_fails_the_run_with_a_message_and_loses_nothing() {
    let folder = folder();
    let first = limited(&folder, 400).await;
    assert_eq!(first.code, Some(2), "{first:?}");
    assert!(first.err.contains("error: writing the journal .llmspell/runs/f-1.db failed"), "{}", first.err);
    assert!(first.err.contains("\nhint: then resume the run: llmspell resume f-1\n"), "{}", first.err);
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let outputs: Vec<_> =
        lines(&folder.read("out.jsonl")).iter().map(|line| line["output"].as_u64().unwrap()).collect();
    assert!(outputs.into_iter().eq(0..200));
}

#[cfg(unix)]
#[tokio::test]
async fn a_journal_that_cannot_be_created_leaves_no_file() {
    let folder = folder();
    let first = limited(&folder, 1).await;
    assert_eq!(first.code, Some(2), "{first:?}");
    assert!(first.err.contains("error: creating the journal"), "{}", first.err);
    assert!(first.err.contains("or run without a journal: --no-journal"), "{}", first.err);
    assert!(!first.err.contains("resume"), "{}", first.err);
    let runs = folder.run(&["runs"]).await;
    assert!(runs.out.starts_with("no runs in "), "{runs:?}");
    let left = std::fs::read_dir(folder.path(".llmspell/runs")).unwrap();
    assert!(left.into_iter().all(|entry| entry.unwrap().file_name() == ".gitignore"));
}

/// Runs half of the records.
async fn half(folder: &Folder) {
    let first = limited(folder, 400).await;
    assert_eq!(first.code, Some(2), "{first:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn records_missing_from_the_input_are_reported() {
    let folder = folder();
    half(&folder).await;
    let folder = folder.with("in.jsonl", records(3..200));
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let reported = "\n3 records of earlier sessions were not found in the input, and have no line\n";
    assert!(again.err.contains(reported), "{}", again.err);
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 197);
}

#[cfg(unix)]
#[tokio::test]
async fn a_changed_key_is_reported() {
    let folder = folder();
    half(&folder).await;
    let folder = folder.with("f.yaml", FLOW.replace("flow: f", "flow: f\nkey: n"));
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.starts_with("the key of the flow has changed: "), "{}", again.err);
    assert!(!again.err.contains("replayed from the journal"), "{}", again.err);
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 200);
}
