//! Child processes: they end with their call, with all descendants, and hold permits until then.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use llmspell::process::ProcessGroup;
use llmspell::{Context, ErrorKind, Limit, Retry, Step, step};
use tokio::time::{Instant, sleep};

use crate::probe::ms;

/// A shell command that runs a script with the name of a file as `$1`.
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

async fn read_line(file: &Path) -> String {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            return text.trim_end().to_owned();
        }
        sleep(ms(2)).await;
    }
}

/// Returns whether a process runs. A zombie does not.
fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

async fn wait_until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not within ten seconds");
        sleep(ms(2)).await;
    }
}

#[tokio::test]
async fn permit_is_held_until_the_program_is_reaped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let limit = Limit::new(1);
    // It ignores SIGTERM for a while.
    let call = script("trap '' TERM; echo $$ > $1; sleep 60 & wait; sleep 60", &file, ms(200));
    let call = call.limit(limit.clone()).timeout(ms(300));
    let cx = Context::new();
    let (error, pid) = tokio::join!(call.run((), &cx), read_line(&file));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((limit.available(), is_running(&pid)), (Some(0), true));
    wait_until(|| limit.available() == Some(1)).await;
    // Reaped before the permit was released.
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn program_can_shut_down_within_the_grace_period() {
    let folder = tempfile::tempdir().unwrap();
    let (file, begun) = (folder.path().join("said"), folder.path().join("begun"));
    let script = "trap 'echo tidied up > $1; exit' TERM; echo > ${1%said}begun; while :; do sleep 0.01; done";
    let call = self::script(script, &file, Duration::from_secs(5));
    let call = step(move |(), cx: Context| {
        let call = call.clone();
        async move { call.run((), &cx).await }
    });
    let cx = Context::new();
    tokio::select! {
        _ = call.run((), &cx) => unreachable!("it never ends by itself"),
        _ = read_line(&begun) => {}
    }
    assert_eq!(read_line(&file).await, "tidied up");
}

#[tokio::test]
async fn killed_program_can_be_retried() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let call = script("echo $$ >> $1; sleep 60", &file, Duration::ZERO);
    let error = call.timeout(ms(300)).retry(Retry::immediately()).run((), &Context::new()).await.unwrap_err();
    assert_eq!(error.attempts(), 3, "{error:#}");
    let pids = std::fs::read_to_string(&file).unwrap();
    assert_eq!(pids.lines().count(), 3);
    for pid in pids.lines() {
        wait_until(|| !is_running(pid)).await;
    }
}

#[tokio::test]
async fn program_output_counts_for_idle_timeouts() {
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
async fn no_program_starts_after_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let call = script("echo $$ > $1", &file, Duration::ZERO);
    let cx = Context::new().with_deadline(Instant::now());
    assert_eq!(call.run((), &cx).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!file.exists());
}

#[tokio::test]
async fn descendants_end_with_their_programs_even_if_many_end_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let calls = script("sleep 60 & echo $!", folder.path(), Duration::ZERO);
    let outputs = calls.stream([(); 100], &Context::new()).limit(50).try_collect().await.unwrap();
    assert_eq!(outputs.len(), 100);
    for pid in outputs {
        let pid = String::from_utf8(pid).unwrap();
        wait_until(|| !is_running(pid.trim())).await;
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
    // A descendant is left in the group. It would receive a signal that is sent to the reused number.
    let left = read_line(&file).await;
    group.terminate(&child);
    group.kill(&child);
    group.ended(&mut child).await.unwrap();
    sleep(ms(20)).await;
    assert!(is_running(&left));
    assert!(Command::new("kill").arg(&left).status().unwrap().success());
}
