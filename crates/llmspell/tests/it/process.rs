//! Child processes: all of them end with their call, and count until they have ended.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use llmspell::{Context, ErrorKind, Limit, ProcessGroup, Retry, Step, step};
use tokio::time::{Instant, sleep};

use crate::probe::ms;

/// Returns a shell command that runs a script with the name of a file as `$1`.
fn shell(script: &str, file: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(file);
    shell
}

fn script(script: &'static str, file: &Path, grace: Duration) -> impl Step<In = (), Out = Vec<u8>> + Clone {
    let file = file.to_owned();
    step(move |(), cx: Context| {
        let shell = shell(script, &file);
        async move { Ok(cx.command(shell).grace(grace).output().await?.stdout) }
    })
}

async fn line(file: &Path) -> String {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            return text.trim_end().to_owned();
        }
        sleep(ms(2)).await;
    }
}

/// Returns whether a process runs; a zombie does not.
fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

async fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not within ten seconds");
        sleep(ms(2)).await;
    }
}

#[tokio::test]
async fn permit_is_held_until_the_process_is_reaped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let limit = Limit::new(1);
    // The process ignores the signal to end.
    let call = script("trap '' TERM; echo $$ > $1; sleep 60 & wait; sleep 60", &file, ms(200));
    let call = call.limit(limit.clone()).timeout(ms(300));
    let cx = Context::new();
    let (error, pid) = tokio::join!(call.run((), &cx), line(&file));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((limit.available(), is_running(&pid)), (Some(0), true));
    until(|| limit.available() == Some(1)).await;
    // The process was reaped before the permit was released.
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn process_can_clean_up_within_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let (file, started) = (folder.path().join("output"), folder.path().join("started"));
    let script = "trap 'echo cleaned up > $1; exit' TERM; echo > ${1%output}started; while :; do sleep 0.01; done";
    let call = self::script(script, &file, Duration::from_secs(5));
    let call = step(move |(), cx: Context| {
        let call = call.clone();
        async move { call.run((), &cx).await }
    });
    let cx = Context::new();
    tokio::select! {
        _ = call.run((), &cx) => unreachable!("the script never ends by itself"),
        _ = line(&started) => {}
    }
    assert_eq!(line(&file).await, "cleaned up");
}

#[tokio::test]
async fn killed_process_can_be_retried() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let call = script("echo $$ >> $1; sleep 60", &file, Duration::ZERO);
    let error = call.timeout(ms(300)).retry(Retry::immediately()).run((), &Context::new()).await.unwrap_err();
    assert_eq!(error.attempts(), 3, "{error:#}");
    let pids = std::fs::read_to_string(&file).unwrap();
    assert_eq!(pids.lines().count(), 3);
    for pid in pids.lines() {
        until(|| !is_running(pid)).await;
    }
}

#[tokio::test]
async fn process_output_resets_the_idle_timeout() {
    let script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.05; done";
    let call = script_without_file(script).idle_timeout(Duration::from_secs(10), ms(300));
    assert_eq!(call.run((), &Context::new()).await.unwrap().len(), 16);
    let error = script_without_file("echo 1; sleep 60").idle_timeout(Duration::from_secs(10), ms(50));
    assert_eq!(error.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

fn script_without_file(script: &'static str) -> impl Step<In = (), Out = Vec<u8>> {
    self::script(script, Path::new(""), Duration::ZERO)
}

#[tokio::test]
async fn no_process_starts_past_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let call = script("echo $$ > $1", &file, Duration::ZERO);
    let cx = Context::new().with_deadline(Instant::now());
    assert_eq!(call.run((), &cx).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!file.exists());
}

#[tokio::test]
async fn orphaned_children_are_killed_with_their_process() {
    let folder = tempfile::tempdir().unwrap();
    let calls = script("sleep 60 & echo $!", folder.path(), Duration::ZERO);
    let outputs = calls.stream([(); 100], &Context::new()).limit(50).try_collect().await.unwrap();
    assert_eq!(outputs.len(), 100);
    for pid in outputs {
        let pid = String::from_utf8(pid).unwrap();
        until(|| !is_running(pid.trim())).await;
    }
}

#[tokio::test]
async fn group_with_a_reaped_leader_is_not_signalled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut process = shell("sleep 60 & echo $! > $1", &file);
    ProcessGroup::lead(&mut process);
    let mut child = tokio::process::Command::from(process).spawn().unwrap();
    let group = ProcessGroup::of(&child);
    assert!(child.wait().await.unwrap().success());
    // The remaining child shows whether a signal is sent to the number of the group.
    let left = line(&file).await;
    group.ask_to_end(&child);
    group.kill(&child);
    group.ended(&mut child).await.unwrap();
    sleep(ms(20)).await;
    assert!(is_running(&left));
    assert!(Command::new("kill").arg(&left).status().unwrap().success());
}
