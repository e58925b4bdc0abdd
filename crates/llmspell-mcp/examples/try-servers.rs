//! Runs trials of the client with a third-party server, for `tests/peers/mcp`.
//!
//! `try-servers everything|filesystem|memory|fastmcp PROGRAM ARGUMENTS…` (or a URL in place of the program) prints a
//! line for each trial: its name, `ok` or `FAILED`, and its result.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use llmspell::context::ChunkData;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Limit, Result, Step};
use llmspell_mcp::{Client, ClientBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

type Tools = HashMap<String, DynTool>;

struct Trials {
    server: String,
    failed: bool,
}

impl Trials {
    fn report(&mut self, trial: &str, result: Result<String>) {
        self.failed |= result.is_err();
        let (status, text) = match result {
            Ok(text) => ("ok", text),
            Err(error) => ("FAILED", format!("{error:#}").replace('\n', " ")),
        };
        println!("{}\t{trial}\t{status}\t{text}", self.server);
    }
}

fn check(holds: bool, message: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::failed(message.into())) }
}

async fn call(tools: &Tools, name: &str, arguments: Value) -> Result<Value> {
    call_with(tools, name, arguments, &Context::new()).await
}

async fn call_with(tools: &Tools, name: &str, arguments: Value, cx: &Context) -> Result<Value> {
    let tool = tools.get(name).ok_or_else(|| Error::failed(format!("unknown tool `{name}`")))?;
    tool.run(arguments, cx).await
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn short(value: &Value) -> String {
    text(value).chars().take(60).collect::<String>().replace('\n', " ")
}

async fn tools_by_name(client: &Client) -> Result<Tools> {
    let tools = client.tools(&Context::new()).await?;
    Ok(tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect())
}

async fn everything(trials: &mut Trials, tools: &Tools) {
    let sum = async {
        let sum = call(tools, "get-sum", json!({ "a": 2, "b": 40 })).await?;
        check(text(&sum).contains("42"), text(&sum))?;
        Ok(short(&sum))
    };
    trials.report("a call", sum.await);
    let structured = async {
        let weather = call(tools, "get-structured-content", json!({ "location": "Chicago" })).await?;
        check(weather.get("temperature").is_some(), text(&weather))?;
        Ok(weather.to_string())
    };
    trials.report("structured content", structured.await);
    let image = async {
        let image = call(tools, "get-tiny-image", json!({})).await?;
        let has = image["content"].as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "image"));
        check(has, text(&image))?;
        Ok("an image".to_owned())
    };
    trials.report("other content", image.await);
    let environment = async {
        let shown = text(&call(tools, "get-env", json!({})).await?);
        check(!shown.contains("CARGO") && !shown.contains("SECRET"), "the environment leaks")?;
        Ok("no variable of this process".to_owned())
    };
    trials.report("a clean environment", environment.await);
    let progress = async {
        let tool = tools["trigger-long-running-operation"].clone();
        let (cx, mut chunks) = Context::new().with_chunks(8);
        let run = async move { tool.run(json!({ "duration": 2, "steps": 4 }), &cx).await };
        let read = async {
            let mut seen = Vec::new();
            while let Some(chunk) = chunks.next().await {
                if let ChunkData::Output(value) = chunk.data {
                    seen.push(value["progress"].as_f64().unwrap_or_default());
                }
            }
            seen
        };
        let (result, seen) = tokio::join!(run, read);
        result?;
        check(seen == [1.0, 2.0, 3.0, 4.0], format!("{seen:?}"))?;
        Ok(format!("{seen:?}"))
    };
    trials.report("progress", progress.await);
    let overlap = async {
        let started = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let tool = tools["trigger-long-running-operation"].clone();
            calls.spawn(async move { tool.run(json!({ "duration": 1, "steps": 1 }), &Context::new()).await });
        }
        while let Some(call) = calls.join_next().await {
            call??;
        }
        check(started.elapsed() < Duration::from_secs(6), format!("{:?}", started.elapsed()))?;
        Ok(format!("20 calls of 1 s in {} ms", started.elapsed().as_millis()))
    };
    trials.report("calls overlap", overlap.await);
    trials.report("it ignores cancellation", cancellation_ignored(tools).await);
    let task = async {
        let Some(tool) = tools.get("simulate-research-query") else { return Ok("not listed".to_owned()) };
        match tool.run(json!({ "topic": "rust" }), &Context::new()).await {
            Ok(value) => Err(Error::failed(format!("it answered: {}", short(&value)))),
            Err(error) => Ok(error.message().to_owned()),
        }
    };
    trials.report("a tool that must be a task", task.await);
    let invalid = match call(tools, "get-sum", json!({ "a": "two" })).await {
        Ok(value) => Err(Error::failed(format!("it answered: {}", short(&value)))),
        Err(error) => Ok(short(&json!(error.message()))),
    };
    trials.report("wrong arguments", invalid);
}

/// Checks that the caller returns at its deadline, that the permit stays acquired, and that the session continues.
async fn cancellation_ignored(tools: &Tools) -> Result<String> {
    let limit = Limit::new(1);
    let tool = tools["trigger-long-running-operation"].clone();
    let tool = tool.timeout(Duration::from_millis(500)).limit(limit.clone());
    let started = Instant::now();
    let error = tool.run(json!({ "duration": 3, "steps": 1 }), &Context::new()).await.err();
    let free = started.elapsed();
    check(error.is_some_and(|error| error.kind() == ErrorKind::Timeout), "no timeout")?;
    check(free < Duration::from_millis(900), format!("free only after {free:?}"))?;
    check(limit.available() == Some(0), "the permit is free while the server still works")?;
    call(tools, "get-sum", json!({ "a": 1, "b": 1 })).await?;
    while limit.available() == Some(0) {
        check(started.elapsed() < Duration::from_secs(10), "the permit is not released")?;
        sleep(Duration::from_millis(10)).await;
    }
    let held = started.elapsed();
    sleep(Duration::from_secs(3).saturating_sub(started.elapsed())).await;
    call(tools, "get-sum", json!({ "a": 1, "b": 1 })).await?;
    Ok(format!("caller free after {} ms, permit after {} ms, session usable", free.as_millis(), held.as_millis()))
}

async fn filesystem(trials: &mut Trials, tools: &Tools, folder: &str) {
    let path = Path::new(folder).join("note.txt");
    let written = async {
        call(tools, "write_file", json!({ "path": path, "content": "two\nlines" })).await?;
        let read = call(tools, "read_text_file", json!({ "path": path })).await?;
        check(text(&read).contains("two"), text(&read))?;
        Ok(short(&read))
    };
    trials.report("write and read", written.await);
    let outside = match call(tools, "read_text_file", json!({ "path": "/etc/hostname" })).await {
        Ok(value) => Err(Error::failed(format!("it answered: {}", short(&value)))),
        Err(error) => Ok(short(&json!(error.message()))),
    };
    trials.report("a refusal is readable", outside);
    let hints = check(
        tools["read_text_file"].info().idempotent && !tools["edit_file"].info().idempotent,
        "reading is not idempotent, or editing is",
    );
    trials.report("hints", hints.map(|()| "reading is idempotent, editing is not".to_owned()));
}

async fn memory(trials: &mut Trials, tools: &Tools) {
    let found = async {
        let ada = json!({ "name": "Ada", "entityType": "person", "observations": ["writes programs"] });
        call(tools, "create_entities", json!({ "entities": [ada] })).await?;
        let found = call(tools, "search_nodes", json!({ "query": "Ada" })).await?;
        check(found.to_string().contains("writes programs"), text(&found))?;
        Ok(short(&found))
    };
    trials.report("store and find", found.await);
}

async fn fastmcp(trials: &mut Trials, tools: &Tools) {
    let cancelled = async {
        let cx = Context::new().with_deadline(Instant::now() + Duration::from_millis(500));
        let error = call_with(tools, "nap", json!({ "seconds": 600 }), &cx).await.err();
        check(error.is_some_and(|error| error.kind() == ErrorKind::Timeout), "no timeout")?;
        let started = Instant::now();
        loop {
            let state = text(&call(tools, "state", json!({})).await?);
            if state.contains("stopped 1") {
                return Ok(format!("stopped {} ms after the timeout", started.elapsed().as_millis()));
            }
            check(started.elapsed() < Duration::from_secs(10), format!("still running: {state}"))?;
            sleep(Duration::from_millis(20)).await;
        }
    };
    trials.report("a timeout stops the tool", cancelled.await);
    let dropped = async {
        let tool = tools["nap"].clone();
        let cx = Context::new();
        tokio::select! {
            _ = tool.run(json!({ "seconds": 600 }), &cx) => {}
            () = sleep(Duration::from_millis(500)) => {}
        }
        let started = Instant::now();
        loop {
            let state = text(&call(tools, "state", json!({})).await?);
            if state.contains("stopped 2") {
                return Ok(format!("stopped {} ms after the drop", started.elapsed().as_millis()));
            }
            check(started.elapsed() < Duration::from_secs(10), format!("still running: {state}"))?;
            sleep(Duration::from_millis(20)).await;
        }
    };
    trials.report("a drop stops the tool", dropped.await);
    let structured = async {
        let sum = call(tools, "add", json!({ "a": 2, "b": 40 })).await?;
        check(sum == json!({ "result": 42 }), text(&sum))?;
        Ok(sum.to_string())
    };
    trials.report("structured content", structured.await);
    let failed = match call(tools, "fail", json!({})).await {
        Ok(value) => Err(Error::failed(format!("it answered: {}", short(&value)))),
        Err(error) => Ok(short(&json!(error.message()))),
    };
    trials.report("an error is readable", failed);
}

/// Kills the server, and checks that the next call restarts it.
async fn killed(client: &Client, tools: &Tools, name: &str, arguments: Value) -> Result<String> {
    let Some(process) = client.process_id().await else { return Ok("not started by this client".to_owned()) };
    std::process::Command::new("kill").args(["-9", &process.to_string()]).status()?;
    sleep(Duration::from_millis(100)).await;
    call(tools, name, arguments).await?;
    let second = client.process_id().await;
    check(second.is_some_and(|second| second != process), "the same process")?;
    Ok("killed, restarted, called".to_owned())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_default();
    let program = arguments.next().ok_or_else(|| Error::invalid("`try-servers SERVER PROGRAM ARGUMENTS…`"))?;
    let arguments: Vec<String> = arguments.collect();
    let mut builder: ClientBuilder =
        if program.starts_with("http") { Client::http(&program) } else { Client::stdio(&program).args(&arguments) };
    if let Ok(file) = std::env::var("TRY_MEMORY_FILE") {
        builder = builder.env("MEMORY_FILE_PATH", file);
    }
    let mut trials = Trials { server: server.clone(), failed: false };
    let started = Instant::now();
    let client = builder.connect(&Context::new()).await?;
    let tools = tools_by_name(&client).await?;
    trials.report("connect and list", Ok(format!("{} tools after {} ms", tools.len(), started.elapsed().as_millis())));
    match server.split(' ').next().unwrap_or_default() {
        "everything" => {
            everything(&mut trials, &tools).await;
            let restarted = killed(&client, &tools, "get-sum", json!({ "a": 1, "b": 1 })).await;
            trials.report("kill -9", restarted);
        }
        "filesystem" => filesystem(&mut trials, &tools, arguments.last().map_or(".", String::as_str)).await,
        "memory" => memory(&mut trials, &tools).await,
        "fastmcp" => {
            fastmcp(&mut trials, &tools).await;
            let restarted = killed(&client, &tools, "add", json!({ "a": 1, "b": 1 })).await;
            trials.report("kill -9", restarted);
        }
        other => return Err(Error::invalid(format!("unknown server `{other}`"))),
    }
    let process = client.process_id().await;
    let started = Instant::now();
    client.close().await;
    let has_ended = process.is_none_or(|process| !Path::new(&format!("/proc/{process}")).exists());
    let ended = check(has_ended, "its process is still running")
        .map(|()| format!("ended in {} ms", started.elapsed().as_millis()));
    trials.report("close", ended);
    if trials.failed { Err(Error::failed("some trials failed")) } else { Ok(()) }
}
