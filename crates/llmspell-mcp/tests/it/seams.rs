//! Client and server with what programs put around them: deadlines of several callers, work that outlives its call,
//! answers of any size.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::agent::{Agent, AgentReply};
use llmspell::model::{Message, ToolResult};
use llmspell::tool::DynTool;
use llmspell::{Context, ErrorKind, Retry, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::peer::{Tools, connected, eventually, in_time, is_alive, lines, stdio};
use crate::serve;
use llmspell_mcp::{Client, Server};

/// A server of ours in this process. It ends with the set.
async fn serving(tools: impl IntoIterator<Item = DynTool>) -> (JoinSet<()>, Client, Tools) {
    let listening = Server::new("own", "1").tools(tools).http("127.0.0.1:0").bind().await.unwrap();
    let url = listening.url();
    let mut server = JoinSet::new();
    server.spawn(async move { listening.serve(std::future::pending()).await.unwrap() });
    let (client, tools) = connected(Client::http(&url)).await;
    (server, client, tools)
}

fn described(name: &str, step: impl Step<In = Value, Out = Value>) -> DynTool {
    DynTool::from_schema(name, "", json!({ "type": "object" }), step)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_is_in_a_hurry_spoils_nothing_for_those_who_wait() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let begins_slowly_but_once = r#"[ -e "$MARK" ] && sleep 1; touch "$MARK"; exec "$0" "$@""#;
        let connect = Client::stdio("sh")
            .args(["-c", begins_slowly_but_once])
            .arg(serve::program())
            .args(serve::arguments())
            .env(serve::SERVE, "stdio")
            .env("MARK", folder.path().join("mark"));
        let (client, tools) = connected(connect).await;
        let process = client.process_id().await.unwrap();
        assert!(std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
        eventually("the end of the server", || !is_alive(process)).await;
        while client.process_id().await.is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        let (hasty, patient) = (tools.get("echo"), tools.get("echo"));
        let hasty = tokio::spawn(async move {
            let cx = Context::new().with_deadline(Instant::now() + Duration::from_millis(300));
            hasty.run(json!({ "text": "quick" }), &cx).await
        });
        // It comes second, and waits for what comes of the attempt of the first.
        sleep(Duration::from_millis(50)).await;
        let said = patient.run(json!({ "text": "well" }), &Context::new()).await;
        assert_eq!(hasty.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(said.unwrap(), "well");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_context_of_a_call_does_not_keep_its_answer() {
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
        let (_server, client, tools) = serving([described("keep", keep)]).await;
        let (cx, mut chunks) = Context::new().with_chunks(64);
        let call = tools.get("keep").timeout(Duration::from_secs(30));
        let call = tokio::spawn(async move { call.run(json!({}), &cx).await });
        let mut last = None;
        while let Some(chunk) = chunks.next().await {
            last = Some(chunk);
        }
        assert_eq!(call.await.unwrap().unwrap(), "done");
        assert!(
            last.is_some_and(|last| format!("{:?}", last.data).contains("39")),
            "what was shown is told all the same"
        );
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_client_takes_is_an_error_that_says_so() {
    in_time(async {
        let repeat = step(|arguments: Value, _| async move {
            let times = arguments["times"].as_u64().unwrap_or_default() as usize;
            Ok(Value::String("\"".repeat(times)))
        });
        let (_server, client, tools) = serving([described("repeat", repeat)]).await;
        // It is the size on its way that counts: each of these takes two bytes.
        let error = tools.call("repeat", json!({ "times": 9 << 20 })).await.unwrap_err();
        assert!(error.message().contains("16 MiB"), "{error:?}");
        let fits = tools.call("repeat", json!({ "times": 7 << 20 })).await.unwrap();
        assert_eq!(fits.as_str().map(str::len), Some(7 << 20));
        client.close().await;
    })
    .await;
}

/// Tells of its end.
struct Work(Arc<Mutex<Vec<&'static str>>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_client_that_is_gone_ends_with_its_session() {
    in_time(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let work = {
            let seen = seen.clone();
            step(move |_: Value, _| {
                let seen = seen.clone();
                async move {
                    seen.lock().unwrap().push("began");
                    let _work = Work(seen.clone());
                    std::future::pending::<()>().await;
                    Ok(Value::Null)
                }
            })
        };
        let (near, far) = tokio::io::duplex(4096);
        let (input, output) = tokio::io::split(far);
        let server = Server::new("own", "1").tool(described("work", work));
        let serving = tokio::spawn(server.over(input, output, std::future::pending()));
        let (answers, mut requests) = tokio::io::split(near);
        let mut answers = BufReader::new(answers).lines();
        let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18",
            "capabilities": {}, "clientInfo": { "name": "test", "version": "0" } } });
        requests.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
        answers.next_line().await.unwrap();
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "work" } });
        requests.write_all(format!("{ready}\n{call}\n").as_bytes()).await.unwrap();
        eventually("the beginning of the work", || *seen.lock().unwrap() == ["began"]).await;
        drop((answers, requests));
        serving.await.unwrap().unwrap();
        eventually("the end of the work", || *seen.lock().unwrap() == ["began", "stopped"]).await;
    })
    .await;
}

/// What the tools answered, in the order of the calls.
fn answers(reply: &AgentReply) -> Vec<&ToolResult> {
    fn answer(message: &Message) -> Option<&ToolResult> {
        match message {
            Message::Tool(answer) => Some(answer),
            _ => None,
        }
    }
    reply.conversation.messages().iter().filter_map(answer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_server_is_killed_in_the_middle_of_a_turn_goes_on_with_the_next() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let script = (0..8).fold(ScriptedModel::new("test"), |script, _| {
            script.calls("wait", json!({ "ms": 600_000, "trace": trace }))
        });
        let script = script.then_calls("echo", json!({ "text": "back" })).says("Done.");
        let agent = Agent::builder(script).tools([tools.get("wait"), tools.get("echo")]).build().unwrap();
        let process = client.process_id().await.unwrap();
        let run = tokio::spawn(async move { agent.run("Go.".into(), &Context::new()).await });
        eventually("eight calls", || lines(&trace).len() == 8).await;
        assert!(std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
        let reply = run.await.unwrap().unwrap();
        let answers = answers(&reply);
        assert_eq!((reply.text.as_str(), answers.len()), ("Done.", 9));
        for lost in &answers[..8] {
            assert!(lost.is_error && lost.text.contains("may have happened"), "{lost:?}");
        }
        assert_eq!(answers[8].text, "back");
        assert_eq!(lines(&trace).len(), 8, "no call was made again");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_told_to_the_model_or_waited_for() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_LIMIT", "1").env("PEER_QUEUE", "0")).await;
        let crowd = tools.get("crowd");
        let script =
            || (0..3).fold(ScriptedModel::new("test"), |script, _| script.calls("crowd", json!({ "ms": 100 })));
        let told = Agent::builder(script().says("Done.")).tools([crowd.clone()]).build().unwrap();
        let reply = told.run("Go.".into(), &Context::new()).await.unwrap();
        let refused = answers(&reply).iter().filter(|answer| answer.text.contains("overloaded")).count();
        assert_eq!(refused, 2);

        let patient = crowd.retry(Retry::exponential().max_attempts(10));
        let waits = Agent::builder(script().says("Done.")).tools([described("crowd", patient)]).build().unwrap();
        let reply = waits.run("Go.".into(), &Context::new()).await.unwrap();
        assert!(answers(&reply).iter().all(|answer| !answer.is_error), "{:?}", answers(&reply));
        client.close().await;
    })
    .await;
}
