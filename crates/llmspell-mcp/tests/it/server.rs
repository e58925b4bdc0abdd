//! The server with clients that misbehave, its shutdown, and its events.

use std::time::Duration;

use llmspell::{Agent, Context, Error, ErrorKind, Step, Tool, step};
use llmspell_mcp::{Client, Server};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{LocalServer, StreamServer, Tools, connected, dyn_tool, in_time, start, stdio};

/// A capacity of pipes that no test fills.
const ROOMY: usize = 1 << 16;

/// Returns a server with the tool `sleep`.
fn server() -> Server {
    let sleep_for = Tool::new("sleep", "Sleeps.", |arguments: Sleep, _| async move {
        sleep(Duration::from_millis(arguments.ms)).await;
        Ok("slept")
    });
    Server::new("test", "0").tool(sleep_for.erase())
}

#[derive(serde::Deserialize, llmspell::schemars::JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Sleep {
    ms: u64,
}

async fn call_sleep(streams: &mut StreamServer, id: u64, ms: u64) {
    streams.call(id, "sleep", json!({ "ms": ms })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_answered_or_ignored_and_the_session_continues() {
    in_time(async {
        let mut streams = StreamServer::start(server(), ROOMY).await;
        streams.call(1, "sleep", json!({ "ms": "long" })).await;
        let answer = streams.receive().await;
        assert_eq!(answer["result"]["isError"], true);
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("invalid arguments"));
        streams.call(2, "no such tool", json!({})).await;
        assert_eq!(streams.receive().await["error"]["code"], -32602);
        streams.send_line("{ not JSON").await;
        let params = json!({ "requestId": 77 });
        streams.send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
        call_sleep(&mut streams, 3, 1).await;
        let answer = loop {
            let answer = streams.receive().await;
            if answer["id"] == 3 {
                break answer;
            }
        };
        assert_eq!(answer["result"]["content"][0]["text"], "slept");
    })
    .await;
}

/// A client that sends requests and reads no answers is not read from, so that it does not fill the memory.
#[tokio::test(flavor = "multi_thread")]
async fn client_that_does_not_read_is_not_read_from() {
    in_time(async {
        let mut streams = StreamServer::start(server().limit(1).queue(1), 1024).await;
        let mut sent = 0;
        // Every answer is an error of about a hundred bytes. The pipe holds ten, the server some hundreds.
        while sent < 100_000 {
            match timeout(Duration::from_millis(500), call_sleep(&mut streams, sent + 1, 0)).await {
                Ok(()) => sent += 1,
                Err(_) => break,
            }
        }
        assert!(sent < 2000, "{sent} requests were read without a reader of the answers");
        // The client reads again: the answers are there.
        let read = timeout(Duration::from_secs(5), streams.read_bytes(4096)).await.unwrap();
        assert!(read > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_drains_and_then_cancels() {
    in_time(async {
        let mut streams = StreamServer::start(server().drain(Duration::from_millis(500)), ROOMY).await;
        call_sleep(&mut streams, 1, 200).await;
        call_sleep(&mut streams, 2, 600_000).await;
        sleep(Duration::from_millis(50)).await;
        streams.stop();
        sleep(Duration::from_millis(20)).await;
        call_sleep(&mut streams, 3, 0).await;
        let rejected = streams.receive().await;
        assert_eq!((&rejected["id"], &rejected["error"]["code"]), (&json!(3), &json!(-32029)));
        let drained = streams.receive().await;
        assert_eq!((&drained["id"], &drained["result"]["content"][0]["text"]), (&json!(1), &json!("slept")));
        let started = Instant::now();
        streams.ended(Duration::from_secs(10)).await;
        assert!(started.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_ends_a_call_at_its_time_limit() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_TIMEOUT_MS", "200")).await;
        let error = tools.call("wait", json!({ "ms": 600_000 })).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Failed && error.message().contains("limit of 0.2 s"), "{error:?}");
        client.close().await;
    })
    .await;
}

/// A client that closes its input may still read.
#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_at_the_end_of_the_input_have_the_time_to_drain() {
    in_time(async {
        // More than the five seconds that rmcp gives them.
        let mut streams = StreamServer::start(server().drain(Duration::from_secs(20)), ROOMY).await;
        call_sleep(&mut streams, 1, 6000).await;
        streams.close_input();
        assert_eq!(streams.receive().await["result"]["content"][0]["text"], "slept");
        streams.ended(Duration::from_secs(3)).await;

        let mut streams = StreamServer::start(server().drain(Duration::from_millis(200)), ROOMY).await;
        call_sleep(&mut streams, 1, 600_000).await;
        streams.close_input();
        let answer = timeout(Duration::from_secs(3), streams.receive()).await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains("may have happened"), "{answer}");
        streams.ended(Duration::from_secs(3)).await;
    })
    .await;
}

/// A thread that outlives its tool could still emit. The answer waits only for chunks that were emitted before.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_outlives_a_tool_does_not_delay_the_answer() {
    in_time(async {
        let runaway = step(|_: Value, cx: Context| async move {
            cx.emit("started").await?;
            cx.blocking(|_| {
                std::thread::sleep(Duration::from_secs(4));
                Ok(())
            })
            .await?;
            Ok(Value::Null)
        });
        let tool = dyn_tool("runaway", runaway.timeout(Duration::from_millis(100)));
        let mut streams = StreamServer::start(server().tool(tool), ROOMY).await;
        let params = json!({ "name": "runaway", "arguments": {}, "_meta": { "progressToken": 7 } });
        streams.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
        let started = Instant::now();
        assert_eq!(streams.receive().await["params"]["message"], "started");
        assert_eq!(streams.receive().await["result"]["isError"], true);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    })
    .await;
}

/// Only the server's own overload is a protocol error. The overload of a tool is a result that the model reads.
#[tokio::test(flavor = "multi_thread")]
async fn overloaded_tool_fails_like_any_other() {
    in_time(async {
        let busy = step(|_: Value, _| async { Err::<Value, _>(Error::overloaded("the search is busy")) });
        let mut streams = StreamServer::start(server().tool(dyn_tool("busy", busy)), ROOMY).await;
        streams.call(1, "busy", json!({})).await;
        let answer = streams.receive().await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("the search is busy"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_server_reports_events_to_its_context_and_drains() {
    in_time(async {
        let cx = Context::recording();
        let mut local = LocalServer::start(server().context(&cx).drain(Duration::from_secs(1))).await;
        let client = Client::http(&local.url).connect(&Context::new()).await.unwrap();
        let tool = Tools::of(&client).await.get("sleep");
        let caller = Context::new();
        let (output, tools) = tokio::join!(tool.run(json!({ "ms": 50 }), &caller), Tools::of(&client));
        assert_eq!(output.unwrap(), "slept");
        assert_eq!(cx.report().steps.iter().find(|step| step.path.to_string() == "sleep").unwrap().ok, 1);
        let late = tools.start("sleep", json!({ "ms": 300 }));
        sleep(Duration::from_millis(100)).await;
        local.stop();
        assert_eq!(late.await.unwrap().unwrap(), "slept");
        local.ended(Duration::from_secs(5)).await;
        assert!(tool.run(json!({ "ms": 1 }), &Context::new()).await.is_err());
    })
    .await;
}

/// An agent that uses the tools of one server is itself a tool of another, and its chunks reach the outer client.
#[tokio::test(flavor = "multi_thread")]
async fn agent_that_uses_mcp_is_served_over_mcp() {
    in_time(async {
        let (inner, tools) = connected(stdio()).await;
        let model = ScriptedModel::new("test")
            .calls("add", json!({ "a": 2, "b": 40 }))
            .calls("echo", json!({ "text": "and more" })) // the same turn
            .says("It is 42.");
        let agent = Agent::builder(model.clone()).tools([tools.get("add"), tools.get("echo")]).build().unwrap();
        let server = Server::new("test", "0").tool(agent.into_tool("clerk", "Does sums."));
        let mut local = LocalServer::start(server).await;
        let (client, tools) = connected(Client::http(&local.url)).await;
        let (cx, mut chunks) = Context::new().with_chunks(8);
        let run = start(tools.get("clerk"), json!({ "prompt": "2 and 40?" }), cx);
        let mut seen = String::new();
        while let Some(chunk) = chunks.next().await {
            seen.push_str(&serde_json::to_string(&chunk.data).unwrap());
        }
        assert_eq!(run.await.unwrap().unwrap(), "It is 42.");
        assert!(seen.contains("42"), "{seen}");
        assert_eq!(model.requests().len(), 2);
        client.close().await;
        inner.close().await;
        local.stop();
        local.ended(Duration::from_secs(10)).await;
    })
    .await;
}
