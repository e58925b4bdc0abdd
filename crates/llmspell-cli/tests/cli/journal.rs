//! The journal of a run in trouble, as its user sees it.

use std::process::Stdio;

use crate::program::{Ended, Folder, ended, lines};

const FLOW: &str = "flow: f\nsteps:\n  - { id: a, tool: slow, limit: 4, with: { value: \"${{ inputs.n }}\" } }\n";

fn folder() -> Folder {
    Folder::new().with("f.yaml", FLOW).with("in.jsonl", records(0..200))
}

fn records(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// The program, where no file may be larger than so many blocks of the shell.
async fn limited(folder: &Folder, blocks: u32) -> Ended {
    let mut command = tokio::process::Command::new("sh");
    let run = format!("ulimit -f {blocks}; exec \"$0\" run f.yaml -i in.jsonl -o out.jsonl");
    command.args(["-c", &run, env!("CARGO_BIN_EXE_llmspell")]).current_dir(folder.path("")).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().unwrap()).await
}

/// The system would end the process with SIGXFSZ, without a word.
#[cfg(unix)]
#[tokio::test]
async fn a_limit_on_the_size_of_files_ends_a_run_with_words_and_loses_nothing() {
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
async fn a_journal_that_cannot_be_begun_leaves_nothing() {
    let folder = folder();
    let first = limited(&folder, 1).await;
    assert_eq!(first.code, Some(2), "{first:?}");
    assert!(first.err.contains("error: beginning the journal"), "{}", first.err);
    assert!(first.err.contains("or run without a journal: --no-journal"), "{}", first.err);
    assert!(!first.err.contains("resume"), "{}", first.err);
    let runs = folder.run(&["runs"]).await;
    assert!(runs.out.starts_with("no runs in "), "{runs:?}");
    let left = std::fs::read_dir(folder.path(".llmspell/runs")).unwrap();
    assert!(left.into_iter().all(|entry| entry.unwrap().file_name() == ".gitignore"));
}

/// A run of which half is done.
async fn half(folder: &Folder) {
    let first = limited(folder, 400).await;
    assert_eq!(first.code, Some(2), "{first:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn records_that_are_not_in_the_input_any_more_are_told() {
    let folder = folder();
    half(&folder).await;
    let folder = folder.with("in.jsonl", records(3..200));
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let told = "\n3 records of earlier sessions were not found in the input, and have no line\n";
    assert!(again.err.contains(told), "{}", again.err);
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 197);
}

#[cfg(unix)]
#[tokio::test]
async fn another_key_is_told() {
    let folder = folder();
    half(&folder).await;
    let folder = folder.with("f.yaml", FLOW.replace("flow: f", "flow: f\nkey: n"));
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.starts_with("the key of the flow has changed: "), "{}", again.err);
    assert!(!again.err.contains("replayed from the journal"), "{}", again.err);
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 200);
}
