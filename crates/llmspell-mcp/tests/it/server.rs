//! The server towards clients that do as they like, and its end.

use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Agent, Context, Error, ErrorKind, Result, Step, Tool, step};
use llmspell_mcp::{Client, Server};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{Tools, connected, in_time, stdio};

fn server() -> Server {
    let nap = Tool::new("nap", "Sleeps.", |ms: Nap, _| async move {
        sleep(Duration::from_millis(ms.ms)).await;
        Ok("slept")
    });
    Server::new("test", "0").tool(nap.erase())
}

#[derive(serde::Deserialize, llmspell::schemars::JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Nap {
    ms: u64,
}

/// A server in this process, and the other ends of its streams.
fn start(
    server: Server,
    room: usize,
) -> (DuplexStream, BufReader<DuplexStream>, oneshot::Sender<()>, JoinHandle<Result<()>>) {
    let (input, ours) = tokio::io::duplex(room);
    let (theirs, output) = tokio::io::duplex(room);
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(server.over(ours, theirs, shutdown));
    (input, BufReader::new(output), stop, serving)
}

async fn say(input: &mut DuplexStream, message: Value) {
    input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
}

async fn hear(output: &mut BufReader<DuplexStream>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

async fn greet(input: &mut DuplexStream, output: &mut BufReader<DuplexStream>) {
    let params =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" } });
    say(input, json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })).await;
    assert_eq!(hear(output).await["result"]["serverInfo"]["name"], "test");
    say(input, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
}

fn call(id: u64, ms: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "nap", "arguments": { "ms": ms } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_or_ignored_and_the_session_goes_on() {
    in_time(async {
        let (mut input, mut output, _stop, _serving) = start(server(), 1 << 16);
        greet(&mut input, &mut output).await;
        let params = json!({ "name": "nap", "arguments": { "ms": "long" } });
        say(&mut input, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
        let answer = hear(&mut output).await;
        assert_eq!(answer["result"]["isError"], true);
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("invalid arguments"));
        let params = json!({ "name": "no such tool", "arguments": {} });
        say(&mut input, json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params })).await;
        assert_eq!(hear(&mut output).await["error"]["code"], -32602);
        input.write_all(b"{ this is no JSON\n").await.unwrap();
        say(
            &mut input,
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 77 } }),
        )
        .await;
        say(&mut input, call(3, 1)).await;
        let answer = loop {
            let answer = hear(&mut output).await;
            if answer["id"] == 3 {
                break answer;
            }
        };
        assert_eq!(answer["result"]["content"][0]["text"], "slept");
    })
    .await;
}

/// A client that asks and does not listen is not heard any more, and so does not fill the memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read_from() {
    in_time(async {
        let (mut input, mut output, _stop, _serving) = start(server().limit(1).queue(1), 1024);
        greet(&mut input, &mut output).await;
        let mut asked = 0;
        // Every answer is an error of about a hundred bytes; the pipe takes ten, the server some hundreds.
        while asked < 100_000 {
            let line = format!("{}\n", call(asked + 1, 0));
            match timeout(Duration::from_millis(500), input.write_all(line.as_bytes())).await {
                Ok(written) => written.unwrap(),
                Err(_) => break,
            }
            asked += 1;
        }
        assert!(asked < 2000, "{asked} requests were read whose answers nobody takes");
        // It listens again: nothing is lost.
        let mut bytes = [0; 4096];
        let read = timeout(Duration::from_secs(5), output.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_drains_and_then_cancels() {
    in_time(async {
        let (mut input, mut output, stop, serving) = start(server().drain(Duration::from_millis(500)), 1 << 16);
        greet(&mut input, &mut output).await;
        say(&mut input, call(1, 200)).await;
        say(&mut input, call(2, 600_000)).await;
        sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        sleep(Duration::from_millis(20)).await;
        say(&mut input, call(3, 0)).await;
        let refused = hear(&mut output).await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(3), &json!(-32029)));
        let drained = hear(&mut output).await;
        assert_eq!((&drained["id"], &drained["result"]["content"][0]["text"]), (&json!(1), &json!("slept")));
        let begun = Instant::now();
        timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_ended_by_the_server() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_TIMEOUT_MS", "200")).await;
        let error = tools.call("wait", json!({ "ms": 600_000 })).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Failed && error.message().contains("longer than 0.2 s"), "{error:?}");
        client.close().await;
    })
    .await;
}

/// A client that closes its input may still read.
#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_when_the_input_ends_have_their_time_and_no_more() {
    in_time(async {
        // More than the five seconds that rmcp gives them.
        let (mut input, mut output, _stop, serving) = start(server().drain(Duration::from_secs(20)), 1 << 16);
        greet(&mut input, &mut output).await;
        say(&mut input, call(1, 6000)).await;
        drop(input);
        assert_eq!(hear(&mut output).await["result"]["content"][0]["text"], "slept");
        timeout(Duration::from_secs(3), serving).await.unwrap().unwrap().unwrap();

        let (mut input, mut output, _stop, serving) = start(server().drain(Duration::from_millis(200)), 1 << 16);
        greet(&mut input, &mut output).await;
        say(&mut input, call(1, 600_000)).await;
        drop(input);
        let answer = timeout(Duration::from_secs(3), hear(&mut output)).await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains("may have happened"), "{answer}");
        timeout(Duration::from_secs(3), serving).await.unwrap().unwrap().unwrap();
    })
    .await;
}

/// A thread that goes on could still show something: the answer does not wait for that, only for what was shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_a_tool_holds_up_no_answer() {
    in_time(async {
        let runaway = step(|_: Value, cx: Context| async move {
            cx.emit("begun").await?;
            cx.blocking(|_| {
                std::thread::sleep(Duration::from_secs(4));
                Ok(())
            })
            .await?;
            Ok(Value::Null)
        });
        let runaway = runaway.timeout(Duration::from_millis(100));
        let tool = DynTool::from_schema("runaway", "Goes on.", json!({ "type": "object" }), runaway);
        let (mut input, mut output, _stop, _serving) = start(server().tool(tool), 1 << 16);
        greet(&mut input, &mut output).await;
        let params = json!({ "name": "runaway", "arguments": {}, "_meta": { "progressToken": 7 } });
        say(&mut input, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
        let begun = Instant::now();
        assert_eq!(hear(&mut output).await["params"]["message"], "begun");
        assert_eq!(hear(&mut output).await["result"]["isError"], true);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    })
    .await;
}

/// Only the server itself sends clients away; what is too much for a tool is for the model to read.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_overloaded_fails_like_any_other() {
    in_time(async {
        let busy = step(|_: Value, _| async { Err::<Value, _>(Error::overloaded("the search is busy")) });
        let tool = DynTool::from_schema("busy", "Is busy.", json!({ "type": "object" }), busy);
        let (mut input, mut output, _stop, _serving) = start(server().tool(tool), 1 << 16);
        greet(&mut input, &mut output).await;
        let params = json!({ "name": "busy", "arguments": {} });
        say(&mut input, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
        let answer = hear(&mut output).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("the search is busy"), "{answer}");
    })
    .await;
}

/// What a server does is seen by whoever gave it its context.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_http_in_this_process_tells_what_it_does_and_ends() {
    in_time(async {
        let cx = Context::recording();
        let listening = server().context(&cx).drain(Duration::from_secs(1)).http("127.0.0.1:0").bind().await.unwrap();
        let url = listening.url();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(listening.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::http(&url).connect(&Context::new()).await.unwrap();
        let nap = Tools::of(&client).await.get("nap");
        let here = Context::new();
        let (a, b) = tokio::join!(nap.run(json!({ "ms": 50 }), &here), Tools::of(&client));
        assert_eq!(a.unwrap(), "slept");
        assert_eq!(cx.report().steps.iter().find(|step| step.path.to_string() == "nap").unwrap().ok, 1);
        let late = b.get("nap");
        let late = tokio::spawn(async move { late.run(json!({ "ms": 300 }), &Context::new()).await });
        sleep(Duration::from_millis(100)).await;
        stop.send(()).unwrap();
        assert_eq!(late.await.unwrap().unwrap(), "slept");
        timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
        assert!(nap.run(json!({ "ms": 1 }), &Context::new()).await.is_err());
    })
    .await;
}

/// An agent that uses the tools of one server is itself a tool of another one, and what it shows goes all the way.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_uses_mcp_is_served_over_mcp() {
    in_time(async {
        let (inner, tools) = connected(stdio()).await;
        let model = ScriptedModel::new("test")
            .calls("add", json!({ "a": 2, "b": 40 }))
            .calls("echo", json!({ "text": "and more" })) // the same turn
            .says("It is 42.");
        let agent = Agent::builder(model.clone()).tools([tools.get("add"), tools.get("echo")]).build().unwrap();
        let server = Server::new("test", "0").tool(agent.into_tool("clerk", "Does sums."));
        let listening = server.http("127.0.0.1:0").bind().await.unwrap();
        let url = listening.url();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(listening.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::http(&url).connect(&Context::new()).await.unwrap();
        let clerk = Tools::of(&client).await.get("clerk");
        let (cx, mut chunks) = Context::new().with_chunks(8);
        let run = tokio::spawn(async move { clerk.run(json!({ "prompt": "2 and 40?" }), &cx).await });
        let mut seen = String::new();
        while let Some(chunk) = chunks.next().await {
            seen.push_str(&serde_json::to_string(&chunk.data).unwrap());
        }
        assert_eq!(run.await.unwrap().unwrap(), "It is 42.");
        assert!(seen.contains("42"), "{seen}");
        assert_eq!(model.requests().len(), 2);
        client.close().await;
        inner.close().await;
        drop(stop);
        timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    })
    .await;
}
