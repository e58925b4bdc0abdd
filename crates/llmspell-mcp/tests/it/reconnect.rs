//! Connections that are made anew, and callers who have more or less time for it.

use std::path::Path;
use std::time::Duration;

use llmspell::{Context, ErrorKind, Step};
use llmspell_mcp::{Client, ClientBuilder};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{connected, in_time};
use crate::serve;

/// The peer, after `first` if it was started before.
fn second_time(first: &str, mark: &Path) -> ClientBuilder {
    let script = format!("if [ -e \"$1\" ]; then {first}; fi; : > \"$1\"; shift; exec \"$@\"");
    Client::stdio("sh")
        .args(["-c", &script, "sh"])
        .arg(mark)
        .arg(serve::program())
        .args(serve::arguments())
        .env(serve::SERVE, "stdio")
}

fn with_time(time: Duration) -> Context {
    Context::new().with_deadline(Instant::now() + time)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_time_fails_alone() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(second_time("sleep 1", &folder.path().join("mark"))).await;
        client.close().await;
        let echo = tools.get("echo");
        let impatient = echo.clone();
        let impatient = tokio::spawn(async move {
            impatient.run(json!({ "text": "now" }), &with_time(Duration::from_millis(100))).await
        });
        sleep(Duration::from_millis(20)).await;
        let patient = tokio::spawn(async move { echo.run(json!({ "text": "then" }), &Context::new()).await });
        let error = impatient.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(!patient.is_finished());
        assert_eq!(patient.await.unwrap().unwrap(), "then");
        client.close().await;
    })
    .await;
}

/// None of these callers has the time that the server takes to start; and yet it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_comes_up_for_callers_without_time() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(second_time("sleep 1", &folder.path().join("mark"))).await;
        client.close().await;
        let look = tools.get("look");
        let mut calls = 0;
        while look.run(json!({ "ms": 0 }), &with_time(Duration::from_millis(200))).await.is_err() {
            calls += 1;
            assert!(calls < 100, "it never comes up");
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
        let (client, tools) = connected(second_time("exec sleep 1000", &folder.path().join("mark"))).await;
        client.close().await;
        let echo = tools.get("echo");
        let call = tokio::spawn(async move { echo.run(json!({ "text": "hm" }), &Context::new()).await });
        sleep(Duration::from_millis(100)).await;
        let soon = Duration::from_secs(5);
        assert_eq!(timeout(soon, client.process_id()).await.unwrap(), None);
        timeout(soon, client.close()).await.unwrap();
        let error = timeout(soon, call).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    })
    .await;
}
