//! The client on servers that are as they should be, and on some that are not.

use std::time::Duration;

use llmspell::tool::{CallConcurrency, DynTool, Privilege};
use llmspell::{ChunkData, Context, ErrorKind, Step, step};
use llmspell_mcp::{Client, Server};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::peer::{Tools, Web, connected, eventually, ignores_cancel, in_time, is_alive, stdio};
use crate::serve;

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_listed_as_the_server_describes_them() {
    in_time(async {
        let (client, tools) = connected(stdio().prefix("peer_")).await;
        let echo = tools.get("peer_echo");
        assert_eq!(echo.spec().description, "Says it again.");
        assert_eq!(echo.spec().parameters["required"], json!(["text"]));
        assert_eq!(echo.spec().security, Privilege::Restricted);
        let wait = tools.get("peer_wait");
        assert_eq!(wait.spec().security, Privilege::Privileged);
        assert!(!wait.info().idempotent);
        assert!(tools.get("peer_look").info().idempotent);
        assert_eq!(tools.call("peer_add", json!({ "a": 2, "b": 40 })).await.unwrap(), json!({ "sum": 42.0 }));
        client.close().await;

        let (client, tools) = connected(stdio().ignore_hints()).await;
        let look = tools.get("look");
        assert!(look.spec().security == Privilege::Privileged && !look.info().idempotent);
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_read_and_changes_are_told() {
    in_time(async {
        let (client, tools) = connected(ignores_cancel()).await;
        assert_eq!(client.tools(&Context::new()).await.unwrap().len(), 5);
        assert_eq!(tools.get("die").spec().concurrency, CallConcurrency::Exclusive);
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

/// The providers of models refuse names that MCP takes.
#[tokio::test(flavor = "multi_thread")]
async fn tools_have_names_that_models_can_call_and_are_called_by_their_own() {
    in_time(async {
        let said = |what: &'static str| {
            let tell = step(move |_: Value, _| async move { Ok(Value::from(what)) });
            move |name: &str| DynTool::from_schema(name, "Says it.", json!({ "type": "object" }), tell.clone())
        };
        let server = Server::new("test", "0").tool(said("dots")("notes.read")).tool(said("dashes")("notes_read"));
        let listening = server.http("127.0.0.1:0").bind().await.unwrap();
        let url = listening.url();
        let serving = tokio::spawn(listening.serve(std::future::pending()));
        let (client, tools) = connected(Client::http(url).prefix("my/")).await;
        assert_eq!(tools.call("my_notes_read", json!({})).await.unwrap(), "dots");
        assert_eq!(tools.call("my_notes_read_2", json!({})).await.unwrap(), "dashes");
        client.close().await;
        serving.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_overlap_on_one_connection() {
    in_time(async {
        let web = Web::start(&[]).await;
        for connect in [stdio(), Client::http(&web.url)] {
            let (client, tools) = connected(connect).await;
            let begun = Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..40 {
                let wait = tools.get("wait");
                calls.spawn(async move { wait.run(json!({ "ms": 500 }), &Context::new()).await });
            }
            while let Some(call) = calls.join_next().await {
                assert_eq!(call.unwrap().unwrap(), "waited 500 ms");
            }
            // One after the other they would take 20 s.
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            client.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_tools_are_readable_and_wrong_arguments_are_told() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let error = tools.call("fail", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("there is no such page") && error.message().contains("try another page"));
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
async fn progress_arrives_as_it_was_emitted_and_keeps_idle_timeouts_quiet() {
    in_time(async {
        let web = Web::start(&[]).await;
        for connect in [stdio(), Client::http(&web.url)] {
            let (client, tools) = connected(connect).await;
            let count = tools.get("count");
            let count = count.idle_timeout(Duration::from_millis(1500), Duration::from_millis(1500));
            let (cx, mut chunks) = Context::new().with_chunks(4);
            let run = tokio::spawn(async move { count.run(json!({ "to": 8, "ms": 300 }), &cx).await });
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
        // Cargo sets this for tests.
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
        // Closed in good order, and just dropped, the tools last.
        for is_closed in [true, false] {
            let (client, tools) = connected(stdio()).await;
            let server = client.process_id().await.unwrap();
            let spawned = tools.call("spawn", json!({})).await.unwrap();
            let grandchild = spawned["process"].as_u64().unwrap() as u32;
            assert!(is_alive(server) && is_alive(grandchild));
            if is_closed {
                client.close().await;
                assert!(!is_alive(server), "closed, and yet alive");
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
async fn noise_of_a_server_disturbs_nothing() {
    in_time(async {
        let script = "echo welcome; echo '{}'; yes warning | head -c 300000 >&2; exec \"$@\"";
        let noisy = Client::stdio("sh").args(["-c", script, "sh"]).arg(serve::program()).args(serve::arguments());
        let (client, tools) = connected(noisy.env(serve::SERVE, "stdio")).await;
        assert_eq!(tools.call("echo", json!({ "text": "clear" })).await.unwrap(), "clear");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_start_says_why_without_its_secrets() {
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
        let error = ignores_cancel().env("HEEDLESS_DIES", "s3cr3t-key").connect(&cx).await.unwrap_err();
        assert!(error.message().contains("no licence for ***"), "{error:?}");
        let begun = Instant::now();
        let silent = Client::stdio("sleep").arg("1000").connect_timeout(Duration::from_millis(200));
        assert_eq!(silent.connect(&cx).await.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(begun.elapsed() < Duration::from_secs(5));
        let error = Client::http("http://127.0.0.1:1/mcp?key=s3cr3t").connect(&cx).await.unwrap_err();
        assert!(error.is_transient() && !format!("{error:#}").contains("s3cr3t"), "{error:?}");
        assert_eq!(Client::http("ftp://somewhere").connect(&cx).await.unwrap_err().kind(), ErrorKind::Invalid);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_at_every_call_is_started_ever_more_slowly() {
    in_time(async {
        let (client, tools) = connected(ignores_cancel().connect_timeout(Duration::from_secs(5))).await;
        for _ in 0..3 {
            let error = tools.call("die", json!({})).await.unwrap_err();
            assert!(error.message().contains("may have happened"), "{error:?}");
        }
        // A caller with little time is not kept waiting.
        let cx = Context::new().with_deadline(Instant::now() + Duration::from_millis(50));
        let begun = Instant::now();
        let error = tools.get("die").run(json!({}), &cx).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(1) && error.is_transient(), "{error:?}");
        assert_eq!(tools.call("cancelled", json!({})).await.unwrap(), "0");
        client.close().await;
    })
    .await;
}
