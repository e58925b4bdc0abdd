use std::time::Duration;

use llmspell::{ErrorKind, Step};
use serde_json::{Value, json};

use super::*;
use crate::permission::Permissions;

fn within(grant: &str) -> DynTool {
    command(&Gate::of_user(&Permissions::none().allow(grant).expect("a permission")))
}

fn any() -> DynTool {
    within("command")
}

async fn call(arguments: Value) -> Result<Value> {
    let call = any().timeout(Duration::from_secs(10)).boxed();
    call.run(arguments, &Context::new()).await
}

fn shell(script: &str) -> Value {
    json!({ "argv": ["sh", "-c", script] })
}

#[tokio::test]
async fn programs_get_arguments_input_and_variables() {
    let out = call(json!({
        "argv": ["sh", "-c", "cat; echo \"$1 $GREETING\"; pwd", "sh", "a  'b'"],
        "stdin": "in\n", "env": { "GREETING": "hello" }, "cwd": "/",
    }));
    assert_eq!(out.await.unwrap(), json!({ "stdout": "in\na  'b' hello\n/", "stderr": "" }));
}

#[tokio::test]
async fn the_environment_is_not_passed_on() {
    // Cargo sets this for every test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let out = call(shell("env")).await.unwrap();
    assert!(!out["stdout"].as_str().unwrap().contains("CARGO"), "{out}");
}

#[tokio::test]
async fn failures_say_how_and_why() {
    let error = call(shell("echo no such thing >&2; exit 3")).await.unwrap_err();
    assert_eq!(error.message(), "sh ended with exit code 3: no such thing");
    assert!(call(shell("kill -TERM $$")).await.unwrap_err().message().contains("signal: 15"));
    assert!(call(json!({ "argv": ["/no/such/program"] })).await.unwrap_err().message().contains("cannot start"));
    assert_eq!(call(json!({ "argv": [] })).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn output_is_bounded() {
    let mut arguments = shell("yes");
    arguments["max_bytes"] = 1000.into();
    let error = call(arguments).await.unwrap_err();
    assert!(error.message().contains("larger than 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let arguments = json!({ "argv": ["true"], "stdin": "x".repeat(1 << 20) });
    assert!(call(arguments).await.is_ok());
}

/// The pids that a script wrote, one a line.
async fn pids(file: &std::path::Path, count: usize) -> Vec<u32> {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        if pids.len() == count && text.ends_with('\n') {
            return pids;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs. A killed orphan may stay a zombie where no process reaps orphans, as in some
/// containers; it runs no more.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

async fn within_a_second(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..200 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn nothing_survives_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("echo $$ > {0}; sleep 60 & echo $! >> {0}; sleep 60", file.display());
    let call = any().timeout(Duration::from_millis(500));
    let error = call.run(shell(&script), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let pids = pids(&file, 2).await;
    assert!(within_a_second(|| !pids.iter().any(|pid| runs(*pid))).await, "{pids:?} live on");
    // The program itself was ours to reap.
    assert!(within_a_second(|| !exists(pids[0])).await, "{} is a zombie", pids[0]);
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    // The child holds the output open: without the end of its group, the call would wait for it.
    let script = format!("sleep 60 & echo $! > {}", file.display());
    let out = call(shell(&script)).await.unwrap();
    assert_eq!(out["stdout"], "");
    let pids = pids(&file, 1).await;
    assert!(within_a_second(|| !runs(pids[0])).await, "{pids:?} lives on");
}

#[tokio::test]
async fn a_stray_descendant_does_not_hold_the_call() {
    let began = tokio::time::Instant::now();
    let out = call(shell("setsid sleep 20 & sleep 0.3; echo hi")).await.unwrap();
    assert_eq!(out["stdout"], "hi");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn any_bound_will_do() {
    let mut arguments = shell("echo hi");
    arguments["max_bytes"] = u64::MAX.into();
    assert_eq!(call(arguments).await.unwrap()["stdout"], "hi");
}

#[tokio::test]
async fn output_that_is_not_text_is_an_error() {
    let error = call(shell(r"printf '\377'")).await.unwrap_err();
    assert!(error.message().contains("not UTF-8") && error.hint().is_some(), "{error}");
    // Why a program failed is shown as well as it can be.
    assert!(call(shell(r"printf 'no\377' >&2; exit 1")).await.unwrap_err().message().contains("no\u{fffd}"));
}

#[tokio::test]
async fn only_programs_that_are_allowed_run() {
    let call = |grant: &str, arguments: Value| {
        let tool = within(grant).timeout(Duration::from_secs(10));
        async move { tool.run(arguments, &Context::new()).await }
    };
    let echo = json!({ "argv": ["echo", "hi"] });
    assert_eq!(call("command=echo", echo.clone()).await.unwrap()["stdout"], "hi");
    let error = call("command=true", echo.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Rejected, Some("allow it with --allow command=echo")));

    // A program of the same name in a folder of one's own.
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("echo");
    std::fs::write(&fake, "#!/bin/sh\nprintf fake").unwrap();
    std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut led_astray = echo.clone();
    led_astray["env"] = json!({ "PATH": folder.path() });
    assert_eq!(call("command=echo", led_astray.clone()).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(call("command", led_astray).await.unwrap()["stdout"], "hi");
    let mut loaded = echo.clone();
    loaded["env"] = json!({ "LD_PRELOAD": "x.so" });
    assert_eq!(call("command=echo", loaded).await.unwrap_err().kind(), ErrorKind::Rejected);
    let own = json!({ "argv": [fake] });
    assert_eq!(call("command=echo", own.clone()).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(call(&format!("command={}", fake.display()), own).await.unwrap()["stdout"], "fake");
    let relative = call("command", json!({ "argv": ["./echo"], "cwd": folder.path() })).await.unwrap_err();
    assert!(relative.hint().is_some_and(|hint| hint.contains("absolute path")), "{relative}");
}
