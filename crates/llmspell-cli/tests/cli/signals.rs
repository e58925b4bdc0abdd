//! Ctrl-C, once and twice, and the signals that stop immediately.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::Instant;

use crate::program::{Folder, lines, until, wait};

pub(crate) fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

/// Returns whether a process runs; a zombie does not.
pub(crate) fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[tokio::test]
async fn the_first_ctrl_c_finishes_the_records_in_flight() {
    // Half of the records in flight wait for the limit of the step.
    let flow = "flow: f\nsteps: [{ id: a, tool: slow, with: { delay_ms: 500 }, limit: 2 }]\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n".repeat(10_000));
    for (which, out) in [(Signal::INT, "a.jsonl"), (Signal::TERM, "b.jsonl")] {
        let child = folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", out, "-l", "4"]);
        let partial = folder.path(&format!("{out}.partial"));
        until("the first outcomes", || partial.metadata().is_ok_and(|about| about.len() > 0)).await;
        // The next four are in flight, and far from finished.
        tokio::time::sleep(Duration::from_millis(150)).await;
        signal(&child, which);
        let ended = wait(child).await;
        assert_eq!(ended.code, Some(130));
        let written = lines(&std::fs::read_to_string(&partial).unwrap());
        assert!(written.len() > 4 && written.len() < 100, "{} lines", written.len());
        assert!(written.iter().all(|line| line["status"] == "ok"));
        assert!(ended.err.contains(" in flight will finish; Ctrl-C again stops immediately"), "{}", ended.err);
        let reported = format!("incomplete: {} lines written in {out}.partial", written.len());
        assert!(ended.err.contains(&reported), "{}", ended.err);
        let next = written.len() + 1;
        let rest = format!(" were not admitted, from line {next} on\nrun: f-");
        assert!(ended.err.contains(&rest), "{}", ended.err);
        assert!(ended.err.contains(", interrupted\nhint: resume the run: llmspell resume f-"), "{}", ended.err);
        assert!(!folder.path(out).exists());
    }
}

#[tokio::test]
async fn the_second_ctrl_c_stops_immediately_and_leaves_no_program_behind() {
    let flow = "flow: f\nallow: { command: [sh] }\nsteps: [{ id: a, tool: command, with: { argv: [sh, -c, \"echo $$ >> pids; sleep 60 & echo $! >> pids; sleep 60\"] } }]\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n");
    let child = folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "command"]);
    let pids = || std::fs::read_to_string(folder.path("pids")).unwrap_or_default();
    until("the program and its child", || pids().lines().count() == 2).await;
    signal(&child, Signal::INT);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(pids().lines().all(runs), "the first Ctrl-C leaves the work alone");
    let began = Instant::now();
    signal(&child, Signal::INT);
    let ended = wait(child).await;
    assert_eq!(ended.code, Some(130));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(
        ended.err.contains("stopping immediately\n") && ended.err.contains("incomplete: 0 lines written\n"),
        "{}",
        ended.err
    );
    until("the end of both", || !pids().lines().any(runs)).await;
    assert!(!folder.path("out.jsonl.partial").exists(), "nothing to keep");
}

#[tokio::test]
async fn a_closed_terminal_and_quit_stop_immediately_and_leave_no_program_behind() {
    let flow = "flow: f\nallow: { command: [sh] }\nsteps: [{ id: a, tool: command, with: { argv: [sh, -c, \"echo $$ >> pids; sleep 60 & echo $! >> pids; sleep 60\"] } }]\n";
    for (which, code) in [(Signal::HUP, 129), (Signal::QUIT, 131)] {
        let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n");
        let child = folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "command"]);
        let pids = || std::fs::read_to_string(folder.path("pids")).unwrap_or_default();
        until("the program and its child", || pids().lines().count() == 2).await;
        signal(&child, which);
        let ended = wait(child).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains("stopping immediately\n"), "{}", ended.err);
        until("the end of both", || !pids().lines().any(runs)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_started_with_nohup_outlives_its_terminal() {
    let flow = "flow: f\nsteps: [{ id: a, tool: slow, with: { delay_ms: 300 } }]\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n".repeat(4));
    let mut command = tokio::process::Command::new("nohup");
    command.args([env!("CARGO_BIN_EXE_llmspell"), "run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "-l", "1"]);
    command.current_dir(folder.path("")).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let partial = folder.path("out.jsonl.partial");
    until("the first outcome", || partial.metadata().is_ok_and(|about| about.len() > 0)).await;
    signal(&child, Signal::HUP);
    assert_eq!(wait(child).await.code, Some(0));
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 4);
}

#[tokio::test]
async fn an_endless_input_does_not_delay_the_end() {
    let folder = Folder::new().with("f.yaml", "flow: f\nsteps: [{ id: a, tool: slow }]\n");
    let mut command = folder.command(&["run", "f.yaml", "-i", "-"]);
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    signal(&child, Signal::INT);
    let mut child = child;
    let stdin = child.stdin.take();
    assert_eq!(wait(child).await.code, Some(130));
    assert!(began.elapsed() < Duration::from_secs(3));
    drop(stdin);
}

#[tokio::test]
async fn a_deadline_bounds_a_run() {
    let flow = "flow: f\nsteps: [{ id: a, tool: slow, with: { delay_ms: 20, hang_rate: 0.1 } }]\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n".repeat(50));
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--unordered", "--deadline", "700ms"];
    let ended = folder.run(&args).await;
    assert_eq!(ended.code, Some(124), "{ended:?}");
    let written = lines(&folder.read("out.jsonl.partial")).len();
    assert!(written > 0 && written < 50);
    assert!(ended.err.contains("--deadline has passed"), "{}", ended.err);
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--deadline", "5"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("`5` has no unit: write 5s or 5ms"), "{}", ended.err);
}

#[tokio::test]
async fn the_second_ctrl_c_works_while_the_output_pipe_is_full() {
    let flow = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs }}\" } }]\n";
    let records = format!("{{\"q\":\"{}\"}}\n", "x".repeat(10_000)).repeat(500);
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", records);
    let mut child = folder.start(&["run", "f.yaml", "-i", "in.jsonl"]);
    // Held open, and never read.
    let stdout = child.stdout.take();
    // By then the program listens for signals.
    until("a journal", || folder.path(".llmspell/runs/f-1.db").exists()).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        signal(&child, Signal::INT);
    }
    let began = Instant::now();
    assert_eq!(wait(child).await.code, Some(130));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(stdout);
}
