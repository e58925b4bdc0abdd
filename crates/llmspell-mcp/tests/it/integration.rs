//! Client and server together with agents, retries and work that outlives its call; answers near the size limit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::agent::{Agent, AgentReply};
use llmspell::model::{Message, ToolResult};
use llmspell::tool::DynTool;
use llmspell::{Context, Retry, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};

use crate::harness::{
    LocalServer, StreamServer, Tools, TraceFile, connected, dyn_tool, eventually, in_time, kill, start, stdio,
};
use llmspell_mcp::{Client, Server};

/// Starts a server in this process, and connects to it.
async fn serve(tool: DynTool) -> (LocalServer, Client, Tools) {
    let server = LocalServer::start(Server::new("own", "1").tool(tool)).await;
    let (client, tools) = connected(Client::http(&server.url)).await;
    (server, client, tools)
}

#[tokio::test(flavor = "multi_thread")]
async fn context_kept_beyond_its_call_does_not_delay_the_answer() {
    in_time(async {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = step(move |_: Value, cx: Context| {
            let kept = kept.clone();
            async move {
                for number in 0..40 {
                    cx.emit(number).await?;
                }
                kept.lock().unwrap().push(cx);
                Ok(json!("done"))
            }
        });
        let (_server, client, tools) = serve(dyn_tool("keep", keep)).await;
        let (cx, mut chunks) = Context::new().with_chunks(64);
        let call = start(tools.get("keep").timeout(Duration::from_secs(30)), json!({}), cx);
        let mut last = None;
        while let Some(chunk) = chunks.next().await {
            last = Some(chunk);
        }
        assert_eq!(call.await.unwrap().unwrap(), "done");
        assert!(last.is_some_and(|last| format!("{:?}", last.data).contains("39")), "all chunks must arrive");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_above_the_size_limit_of_clients_becomes_an_error() {
    in_time(async {
        let repeat = step(|arguments: Value, _| async move {
            let times = arguments["times"].as_u64().unwrap_or_default() as usize;
            Ok(Value::String("\"".repeat(times)))
        });
        let (_server, client, tools) = serve(dyn_tool("repeat", repeat)).await;
        // The encoded size counts: each of these characters takes two bytes.
        let error = tools.call("repeat", json!({ "times": 9 << 20 })).await.unwrap_err();
        assert!(error.message().contains("16 MiB"), "{error:?}");
        let fits = tools.call("repeat", json!({ "times": 7 << 20 })).await.unwrap();
        assert_eq!(fits.as_str().map(str::len), Some(7 << 20));
        client.close().await;
    })
    .await;
}

/// Records its drop.
struct DropRecorder(Arc<Mutex<Vec<&'static str>>>);

impl Drop for DropRecorder {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_disconnected_client_ends_with_its_session() {
    in_time(async {
        let log = Arc::new(Mutex::new(Vec::new()));
        let work = {
            let log = log.clone();
            step(move |_: Value, _| {
                let log = log.clone();
                async move {
                    log.lock().unwrap().push("started");
                    let _recorder = DropRecorder(log.clone());
                    std::future::pending::<()>().await;
                    Ok(Value::Null)
                }
            })
        };
        let server = Server::new("test", "1").tool(dyn_tool("work", work));
        let mut streams = StreamServer::start(server, 4096).await;
        streams.call(2, "work", json!({})).await;
        eventually("the start of the work", || *log.lock().unwrap() == ["started"]).await;
        streams.disconnect().await;
        eventually("the end of the work", || *log.lock().unwrap() == ["started", "stopped"]).await;
    })
    .await;
}

/// Returns the results of the tools, in the order of the calls.
fn tool_results(reply: &AgentReply) -> Vec<&ToolResult> {
    fn tool_result(message: &Message) -> Option<&ToolResult> {
        match message {
            Message::Tool(result) => Some(result),
            _ => None,
        }
    }
    reply.conversation.messages().iter().filter_map(tool_result).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_whose_server_is_killed_during_a_turn_continues_with_the_next_turn() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let trace = TraceFile::new();
        let script = (0..8)
            .fold(ScriptedModel::new("test"), |script, _| script.calls("wait", trace.arguments(600_000)))
            .then_calls("echo", json!({ "text": "back" }))
            .says("Done.");
        let agent = Agent::builder(script).tools([tools.get("wait"), tools.get("echo")]).build().unwrap();
        let process = client.process_id().await.unwrap();
        let run = tokio::spawn(async move { agent.run("Go.".into(), &Context::new()).await });
        eventually("eight calls", || trace.lines().len() == 8).await;
        kill(process);
        let reply = run.await.unwrap().unwrap();
        let results = tool_results(&reply);
        assert_eq!((reply.text.as_str(), results.len()), ("Done.", 9));
        for lost in &results[..8] {
            assert!(lost.is_error && lost.text.contains("may have happened"), "{lost:?}");
        }
        assert_eq!(results[8].text, "back");
        assert_eq!(trace.lines().len(), 8, "no call may be repeated");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_of_a_server_reaches_the_model_or_is_retried() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_LIMIT", "1").env("PEER_QUEUE", "0")).await;
        let wait = tools.get("counted_wait");
        let script =
            || (0..3).fold(ScriptedModel::new("test"), |script, _| script.calls("counted_wait", json!({ "ms": 100 })));
        let agent = Agent::builder(script().says("Done.")).tools([wait.clone()]).build().unwrap();
        let reply = agent.run("Go.".into(), &Context::new()).await.unwrap();
        let rejected = tool_results(&reply).iter().filter(|result| result.text.contains("overloaded")).count();
        assert_eq!(rejected, 2);

        let retried = dyn_tool("counted_wait", wait.retry(Retry::exponential().max_attempts(10)));
        let agent = Agent::builder(script().says("Done.")).tools([retried]).build().unwrap();
        let reply = agent.run("Go.".into(), &Context::new()).await.unwrap();
        assert!(tool_results(&reply).iter().all(|result| !result.is_error), "{:?}", tool_results(&reply));
        client.close().await;
    })
    .await;
}
