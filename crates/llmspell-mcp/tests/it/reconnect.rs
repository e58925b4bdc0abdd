//! Reconnection, and callers with different deadlines that wait for it.

use std::path::Path;
use std::time::Duration;

use llmspell::{ErrorKind, Step};
use llmspell_mcp::ClientBuilder;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::harness::{connected, eventually, in_time, is_alive, kill, start, stdio_from_script, with_time};

/// Returns a client of the peer that runs `delay` before it starts, except the first time. `mark` is the file by which
/// it knows the first time.
fn slow_restart(delay: &str, mark: &Path) -> ClientBuilder {
    let script = format!("if [ -e \"$1\" ]; then {delay}; fi; : > \"$1\"; shift; exec \"$@\"");
    stdio_from_script(&script, &[mark])
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_with_a_short_deadline_fails_alone() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(slow_restart("sleep 1", &folder.path().join("mark"))).await;
        client.close().await;
        let hasty = start(tools.get("echo"), json!({ "text": "now" }), with_time(Duration::from_millis(100)));
        sleep(Duration::from_millis(20)).await;
        let patient = tools.start("echo", json!({ "text": "then" }));
        let error = hasty.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(!patient.is_finished());
        assert_eq!(patient.await.unwrap().unwrap(), "then");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_with_a_short_deadline_does_not_cancel_the_attempt_that_others_wait_for() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(slow_restart("sleep 1", &folder.path().join("mark"))).await;
        let process = client.process_id().await.unwrap();
        kill(process);
        eventually("the end of the server", || !is_alive(process)).await;
        while client.process_id().await.is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        let hasty = start(tools.get("echo"), json!({ "text": "quick" }), with_time(Duration::from_millis(300)));
        // The second caller waits for the attempt that the first one started.
        sleep(Duration::from_millis(50)).await;
        let patient = tools.call("echo", json!({ "text": "well" })).await;
        assert_eq!(hasty.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(patient.unwrap(), "well");
        client.close().await;
    })
    .await;
}

/// Each deadline is shorter than the start of the server, and yet the server starts.
#[tokio::test(flavor = "multi_thread")]
async fn slow_server_starts_for_callers_with_short_deadlines() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(slow_restart("sleep 1", &folder.path().join("mark"))).await;
        client.close().await;
        let wait = tools.get("wait_idempotent");
        let mut calls = 0;
        while wait.run(json!({ "ms": 0 }), &with_time(Duration::from_millis(200))).await.is_err() {
            calls += 1;
            assert!(calls < 100, "the server never starts");
        }
        assert!(calls > 0);
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_connection() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(slow_restart("exec sleep 1000", &folder.path().join("mark"))).await;
        client.close().await;
        let call = tools.start("echo", json!({ "text": "hm" }));
        sleep(Duration::from_millis(100)).await;
        let limit = Duration::from_secs(5);
        assert_eq!(timeout(limit, client.process_id()).await.unwrap(), None);
        timeout(limit, client.close()).await.unwrap();
        let error = timeout(limit, call).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    })
    .await;
}
