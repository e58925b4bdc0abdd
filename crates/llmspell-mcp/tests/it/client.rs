//! The client with a well-behaved server, and with the misbehaving one.

use std::time::Duration;

use llmspell::context::ChunkData;
use llmspell::tool::{CallConcurrency, Privilege};
use llmspell::{Context, ErrorKind, Step, step};
use llmspell_mcp::{Client, Server};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::harness::{
    HttpPeer, LocalServer, Tools, connected, dyn_tool, eventually, in_time, is_alive, misbehaving, start, stdio,
    stdio_from_script, with_time,
};

#[tokio::test(flavor = "multi_thread")]
async fn listed_tools_have_the_schema_and_hints_of_the_server() {
    in_time(async {
        let (client, tools) = connected(stdio().prefix("peer_")).await;
        let echo = tools.get("peer_echo");
        assert_eq!(echo.spec().description, "Returns the text.");
        assert_eq!(echo.spec().parameters["required"], json!(["text"]));
        assert_eq!(echo.spec().security, Privilege::Restricted);
        let wait = tools.get("peer_wait");
        assert_eq!(wait.spec().security, Privilege::Privileged);
        assert!(!wait.info().idempotent);
        assert!(tools.get("peer_wait_idempotent").info().idempotent);
        assert_eq!(tools.call("peer_add", json!({ "a": 2, "b": 40 })).await.unwrap(), json!({ "sum": 42.0 }));
        client.close().await;

        let (client, tools) = connected(stdio().ignore_hints()).await;
        let wait = tools.get("wait_idempotent");
        assert!(wait.spec().security == Privilege::Privileged && !wait.info().idempotent);
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_listed_and_changes_are_reported() {
    in_time(async {
        let (client, tools) = connected(misbehaving()).await;
        assert_eq!(client.tools(&Context::new()).await.unwrap().len(), 5);
        assert_eq!(tools.get("exit").spec().concurrency, CallConcurrency::Exclusive);
        assert_eq!(tools.get("late").spec().concurrency, CallConcurrency::Parallel);
        assert!(timeout(Duration::from_millis(50), client.changed()).await.is_err());
        tools.call("change", json!({})).await.unwrap();
        client.changed().await;
        Tools::of(&client).await;
        assert!(timeout(Duration::from_millis(50), client.changed()).await.is_err());
        let picture = tools.call("picture", json!({})).await.unwrap();
        assert_eq!(picture["content"][1]["mimeType"], "image/png");
        client.close().await;
    })
    .await;
}

/// Model providers reject names that MCP allows.
#[tokio::test(flavor = "multi_thread")]
async fn tools_get_callable_names_and_are_called_by_their_original_ones() {
    in_time(async {
        let returning =
            |name, text: &'static str| dyn_tool(name, step(move |_: Value, _| async move { Ok(Value::from(text)) }));
        let tools = [returning("notes.read", "dots"), returning("notes_read", "dashes")];
        let server = LocalServer::start(Server::new("test", "0").tools(tools)).await;
        let (client, tools) = connected(Client::http(&server.url).prefix("my/")).await;
        assert_eq!(tools.call("my_notes_read", json!({})).await.unwrap(), "dots");
        assert_eq!(tools.call("my_notes_read_2", json!({})).await.unwrap(), "dashes");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_overlap_on_one_connection() {
    in_time(async {
        let peer = HttpPeer::start(&[]).await;
        for builder in [stdio(), Client::http(&peer.url)] {
            let (client, tools) = connected(builder).await;
            let started = Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..40 {
                let wait = tools.get("wait");
                calls.spawn(async move { wait.run(json!({ "ms": 500 }), &Context::new()).await });
            }
            while let Some(call) = calls.join_next().await {
                assert_eq!(call.unwrap().unwrap(), "waited 500 ms");
            }
            // One at a time they would take 20 s.
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            client.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_tools_are_readable_and_wrong_arguments_are_reported() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let error = tools.call("fail", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("page not found") && error.message().contains("try another page"));
        assert_eq!(error.path().unwrap().to_string(), "fail");
        let error = tools.call("echo", json!({ "words": 1 })).await.unwrap_err();
        assert!(error.message().contains("invalid arguments"), "{error:?}");
        let error = tools.call("echo", json!([1, 2])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_arrives_unchanged_and_resets_idle_timeouts() {
    in_time(async {
        let peer = HttpPeer::start(&[]).await;
        for builder in [stdio(), Client::http(&peer.url)] {
            let (client, tools) = connected(builder).await;
            let count = tools.get("count");
            let count = count.idle_timeout(Duration::from_millis(1500), Duration::from_millis(1500));
            let (cx, mut chunks) = Context::new().with_chunks(4);
            let run = start(count, json!({ "to": 8, "ms": 300 }), cx);
            let mut seen = Vec::new();
            while let Some(chunk) = chunks.next().await {
                if let ChunkData::Output(value) = chunk.data {
                    seen.push(value["number"].as_u64().unwrap());
                }
            }
            assert_eq!(run.await.unwrap().unwrap(), json!({ "counted": 8 }));
            assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
            client.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_with_a_clean_environment() {
    in_time(async {
        let (client, tools) = connected(stdio().env("GREETING", "hello")).await;
        let environment = tools.call("environment", json!({})).await.unwrap();
        assert_eq!(environment["GREETING"], "hello");
        assert!(environment.get("PATH").is_some());
        // Cargo sets this variable for tests.
        assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok() && environment.get("CARGO_MANIFEST_DIR").is_none());
        client.close().await;
        let (client, tools) = connected(stdio().inherit("CARGO_MANIFEST_DIR")).await;
        let environment = tools.call("environment", json!({})).await.unwrap();
        assert!(environment.get("CARGO_MANIFEST_DIR").is_some());
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_group_of_a_server_ends_with_its_client() {
    in_time(async {
        // Once closed, and once only dropped, with the tools last.
        for is_closed in [true, false] {
            let (client, tools) = connected(stdio()).await;
            let server = client.process_id().await.unwrap();
            let spawned = tools.call("spawn", json!({})).await.unwrap();
            let grandchild = spawned["process"].as_u64().unwrap() as u32;
            assert!(is_alive(server) && is_alive(grandchild));
            if is_closed {
                client.close().await;
                assert!(!is_alive(server), "alive after it was closed");
            }
            drop(client);
            drop(tools);
            eventually("the end of the server", || !is_alive(server)).await;
            eventually("the end of its child", || !is_alive(grandchild)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_streams_of_a_server_is_ignored() {
    in_time(async {
        let script = "echo welcome; echo '{}'; yes warning | head -c 300000 >&2; exec \"$@\"";
        let (client, tools) = connected(stdio_from_script(script, &[])).await;
        assert_eq!(tools.call("echo", json!({ "text": "clear" })).await.unwrap(), "clear");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_of_a_failed_start_names_the_cause_without_secrets() {
    in_time(async {
        let cx = Context::new();
        let error = Client::stdio("no-such-server-anywhere").connect(&cx).await.unwrap_err();
        assert!(error.message().contains("cannot start") && error.hint().is_some(), "{error:?}");
        for script in ["exit 3", "exec sleep 0.1"] {
            let error = Client::stdio("sh").args(["-c", script]).connect(&cx).await.unwrap_err();
            assert!(error.message().contains("`sh` ended before the handshake") && error.hint().is_some(), "{error:?}");
            let status = if script == "exit 3" { "exit status: 3" } else { "exit status: 0" };
            assert!(error.message().contains(status), "{error:?}");
        }
        let error = Client::stdio("sh").args(["-c", "exec <&- >&-; sleep 1000"]).connect(&cx).await.unwrap_err();
        assert!(error.message().contains("closed its standard streams"), "{error:?}");
        let error = misbehaving().env("MISBEHAVING_EXIT", "s3cr3t-key").connect(&cx).await.unwrap_err();
        assert!(error.message().contains("no licence for ***"), "{error:?}");
        let started = Instant::now();
        let silent = Client::stdio("sleep").arg("1000").connect_timeout(Duration::from_millis(200));
        assert_eq!(silent.connect(&cx).await.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(started.elapsed() < Duration::from_secs(5));
        let error = Client::http("http://127.0.0.1:1/mcp?key=s3cr3t").connect(&cx).await.unwrap_err();
        assert!(error.is_transient() && !format!("{error:#}").contains("s3cr3t"), "{error:?}");
        assert_eq!(Client::http("ftp://somewhere").connect(&cx).await.unwrap_err().kind(), ErrorKind::Invalid);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_a_server_that_exits_at_every_call_are_delayed() {
    in_time(async {
        let (client, tools) = connected(misbehaving().connect_timeout(Duration::from_secs(5))).await;
        for _ in 0..3 {
            let error = tools.call("exit", json!({})).await.unwrap_err();
            assert!(error.message().contains("may have happened"), "{error:?}");
        }
        // A caller whose deadline is before the next attempt fails at once.
        let cx = with_time(Duration::from_millis(50));
        let started = Instant::now();
        let error = tools.get("exit").run(json!({}), &cx).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(1) && error.is_transient(), "{error:?}");
        assert_eq!(tools.call("cancelled", json!({})).await.unwrap(), "0");
        client.close().await;
    })
    .await;
}
