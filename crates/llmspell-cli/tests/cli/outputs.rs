//! Files that must never be lost or mixed: inputs, flows, and the outputs of other runs.

use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::program::{Folder, Output, lines, until, wait};

const FLOW: &str = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs.n }}\" } }]\n";
const SLOW: &str = "flow: f\nsteps: [{ id: a, tool: slow, with: { delay_ms: 300 } }]\n";

fn refused(ended: &Output, wanted: &str) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains(wanted) && ended.err.contains("\nhint: "), "{}", ended.err);
}

fn fifo(folder: &Folder, name: &str) {
    let made = std::process::Command::new("mkfifo").arg(folder.path(name)).status().unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn neither_input_nor_flow_is_overwritten() {
    let folder = Folder::new().with("f.yaml", FLOW).with("d.jsonl.partial", "{\"n\":1}\n").with("in.jsonl", "{}\n");
    let begun = ["run", "f.yaml", "-i", "d.jsonl.partial", "-o", "d.jsonl", "--force"];
    refused(&folder.run(&begun).await, "that is the input");
    refused(&folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "f.yaml"]).await, "it is the flow file");
    std::fs::hard_link(folder.path("in.jsonl"), folder.path("same.jsonl")).unwrap();
    symlink("in.jsonl", folder.path("link.jsonl")).unwrap();
    for name in ["in.jsonl", "same.jsonl", "link.jsonl"] {
        refused(&folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", name, "--force"]).await, "it is the input");
    }
    let mut command = folder.command(&["run", "f.yaml", "-i", "-", "-o", "d.jsonl", "--force"]);
    command.stdin(std::fs::File::open(folder.path("d.jsonl.partial")).unwrap());
    refused(&wait(command.spawn().unwrap()).await, "that is the input");
    assert_eq!(folder.read("d.jsonl.partial"), "{\"n\":1}\n");
    assert_eq!(folder.read("f.yaml"), FLOW);
    assert_eq!(folder.read("in.jsonl"), "{}\n");
}

#[tokio::test]
async fn a_link_in_place_of_the_partial_file_is_not_followed() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"n\":1}\n").with("precious", "precious\n");
    symlink("precious", folder.path("out.jsonl.partial")).unwrap();
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];
    refused(&folder.run(&args).await, "is already there");
    let ended = folder.run(&[&args[..], &["--force"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(folder.read("precious"), "precious\n");
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 1);
}

#[tokio::test]
async fn two_runs_never_share_an_output() {
    let folder = Folder::new().with("f.yaml", SLOW).with("in.jsonl", "{}\n".repeat(12)).with("two.jsonl", "{}\n");
    let first = folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "-l", "2"]);
    until("the first run to begin", || folder.path("out.jsonl.partial").exists()).await;
    for force in [&["--force"][..], &[]] {
        let second = [&["run", "f.yaml", "-i", "two.jsonl", "-o", "out.jsonl"], force].concat();
        refused(&folder.run(&second).await, "another run is writing out.jsonl.partial");
    }
    let first = wait(first).await;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 12);
}

#[tokio::test]
async fn a_named_pipe_without_a_reader_is_refused() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"n\":1}\n");
    fifo(&folder, "pipe");
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "pipe"];
    refused(&folder.run(&args).await, "nobody reads this pipe");
    // Opened for reading and writing, so that neither end waits for the other.
    let mut options = tokio::net::unix::pipe::OpenOptions::new();
    #[cfg(target_os = "linux")]
    options.read_write(true);
    let mut reader = options.open_receiver(folder.path("pipe")).unwrap();
    assert_eq!(folder.run(&args).await.code, Some(0));
    let mut read = [0; 200];
    let read_some = tokio::time::timeout(Duration::from_secs(20), reader.read(&mut read));
    let length = read_some.await.unwrap().unwrap();
    assert_eq!(lines(std::str::from_utf8(&read[..length]).unwrap()).len(), 1);
}

#[tokio::test]
async fn a_run_does_not_read_its_own_output() {
    let folder = Folder::new().with("f.yaml", FLOW).with("loop.jsonl", "{\"n\":1}\n");
    let appended = || std::fs::OpenOptions::new().append(true).open(folder.path("loop.jsonl")).unwrap();
    for input in ["loop.jsonl", "-"] {
        let mut command = folder.command(&["run", "f.yaml", "-i", input]);
        command.stdin(std::fs::File::open(folder.path("loop.jsonl")).unwrap()).stdout(appended());
        refused(&wait(command.spawn().unwrap()).await, "standard output goes into the input");
    }
    assert_eq!(folder.read("loop.jsonl"), "{\"n\":1}\n");
    // A device is not a file: data written to it cannot be read back.
    let mut command = folder.command(&["run", "f.yaml", "-i", "-"]);
    let ended = wait(command.stdout(Stdio::null()).spawn().unwrap()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn a_link_stays_and_its_target_is_replaced() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"n\":1}\n");
    std::fs::create_dir(folder.path("there")).unwrap();
    let folder = folder.with("there/old.jsonl", "old\n");
    for (link, target) in [("a.jsonl", "there/old.jsonl"), ("b.jsonl", "there/new.jsonl")] {
        symlink(target, folder.path(link)).unwrap();
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", link]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(folder.path(link).is_symlink());
        assert_eq!(lines(&folder.read(target)).len(), 1);
    }
    symlink("circle.jsonl", folder.path("circle.jsonl")).unwrap();
    refused(&folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "circle.jsonl"]).await, "circle");
}

#[tokio::test]
async fn after_a_failed_write_the_partial_file_holds_whole_lines() {
    let records = format!("{{\"n\":\"{}\"}}\n", "x".repeat(900)).repeat(200);
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", records);
    let bin = env!("CARGO_BIN_EXE_llmspell");
    // With the signal ignored, and without.
    for ignored in ["trap '' XFSZ; ", ""] {
        let mut command = tokio::process::Command::new("sh");
        let limited =
            format!("{ignored}ulimit -f 70; exec \"$0\" run f.yaml -i in.jsonl -o out.jsonl --no-journal --force");
        command.args(["-c", &limited, bin]).current_dir(folder.path("")).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = wait(command.spawn().unwrap()).await;
        let text = folder.read("out.jsonl.partial");
        let kept = lines(&text).len();
        assert!(text.ends_with('\n') && kept > 0 && kept < 200, "{kept}");
        refused(&ended, &format!("out.jsonl.partial keeps its first whole lines, {kept} of them"));
        assert!(ended.err.contains(&format!("incomplete: {kept} lines written in out.jsonl.partial")), "{}", ended.err);
        assert!(ended.err.contains("hint: allow larger files (ulimit -f)"), "{}", ended.err);
        assert!(ended.err.contains("--force overwrites the partial file"), "{}", ended.err);
    }
}

#[tokio::test]
async fn only_regular_files_of_limited_size_and_pipes_are_read_as_flows() {
    let folder = Folder::new().with("f.yaml", FLOW).with("big.yaml", vec![b' '; (4 << 20) + 1]);
    fifo(&folder, "pipe");
    refused(&folder.run(&["check", "/dev/zero"]).await, "not a file");
    refused(&folder.run(&["check", "big.yaml"]).await, "it is larger than 4 MiB");
    refused(&folder.run(&["check", "pipe"]).await, "error: ");
    // A pipe, like the `<(…)` of a shell.
    let mut command = folder.command(&["check", "/dev/stdin"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, FLOW.as_bytes()).unwrap();
    drop(writer);
    let ended = wait(command.stdin(reader).spawn().unwrap()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
