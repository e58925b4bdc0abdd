//! Standard input and output.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::program::{Folder, lines, wait};

const FLOW: &str = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs.n }}\" } }]\n";

#[tokio::test]
async fn records_and_outcomes_are_streamed_one_by_one() {
    let folder = Folder::new().with("f.yaml", FLOW);
    let mut command = folder.command(&["run", "f.yaml", "-i", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 0..3 {
        // The next record is given only after the outcome of the one before: nothing waits for a full buffer.
        stdin.write_all(format!("{{\"n\":{n}}}\n").as_bytes()).await.unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), stdout.next_line());
        let line = next.await.expect("no outcome comes").unwrap().unwrap();
        assert_eq!(lines(&line)[0]["output"], n);
    }
    drop(stdin);
    assert_eq!(wait(child).await.code, Some(0));
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"n\":1}\n".repeat(200_000));
    let mut child = folder.start(&["run", "f.yaml", "-i", "in.jsonl"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(stdout.next_line().await.unwrap().is_some());
    drop(stdout);
    let ended = wait(child).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[tokio::test]
async fn devices_are_written_directly() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"n\":1}\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "/dev/null"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let full = std::path::Path::new("/dev/full");
    if full.exists() {
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "/dev/full"]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.err.contains("writing the output failed"), "{}", ended.err);
    }
}
