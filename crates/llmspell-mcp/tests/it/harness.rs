//! Shared fixtures: clients of the test servers, servers in this process, and helpers that wait.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Result, Step};
use llmspell_mcp::{Client, ClientBuilder, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::test_servers;

/// The time limit of every test.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a test within its time limit.
pub(crate) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, test).await.expect("the test takes too long")
}

/// Returns a client of the peer over stdio.
pub(crate) fn stdio() -> ClientBuilder {
    Client::stdio(test_servers::program()).args(test_servers::arguments()).env(test_servers::SERVE, "stdio")
}

/// Returns a client of the peer over stdio, started by `script` in a shell with `arguments`. The script finds the
/// command of the peer behind them in `$@`.
pub(crate) fn stdio_from_script(script: &str, arguments: &[&Path]) -> ClientBuilder {
    Client::stdio("sh")
        .args(["-c", script, "sh"])
        .args(arguments)
        .arg(test_servers::program())
        .args(test_servers::arguments())
        .env(test_servers::SERVE, "stdio")
}

/// Returns a client of the misbehaving server.
pub(crate) fn misbehaving() -> ClientBuilder {
    Client::stdio(test_servers::program()).args(test_servers::arguments()).env(test_servers::SERVE, "misbehaving")
}

/// The tools of a server by name.
pub(crate) struct Tools(HashMap<String, DynTool>);

impl Tools {
    pub(crate) async fn of(client: &Client) -> Tools {
        let tools = client.tools(&Context::new()).await.unwrap();
        Tools(tools.into_iter().map(|tool| (tool.spec().name.clone(), tool)).collect())
    }

    pub(crate) fn get(&self, name: &str) -> DynTool {
        self.0.get(name).unwrap_or_else(|| panic!("no tool {name}")).clone()
    }

    pub(crate) async fn call(&self, name: &str, arguments: Value) -> Result<Value> {
        self.get(name).run(arguments, &Context::new()).await
    }

    /// Starts a call in a task.
    pub(crate) fn start(&self, name: &str, arguments: Value) -> JoinHandle<Result<Value>> {
        start(self.get(name), arguments, Context::new())
    }
}

/// Starts a call of any step in a task.
pub(crate) fn start(
    step: impl Step<In = Value, Out = Value>,
    arguments: Value,
    cx: Context,
) -> JoinHandle<Result<Value>> {
    tokio::spawn(async move { step.run(arguments, &cx).await })
}

/// Returns a context whose deadline is `time` from now.
pub(crate) fn with_time(time: Duration) -> Context {
    Context::new().with_deadline(Instant::now() + time)
}

/// Connects, and lists the tools.
pub(crate) async fn connected(builder: ClientBuilder) -> (Client, Tools) {
    let client = builder.connect(&Context::new()).await.unwrap();
    let tools = Tools::of(&client).await;
    (client, tools)
}

/// Returns a tool of any name and arguments.
pub(crate) fn dyn_tool(name: &str, step: impl Step<In = Value, Out = Value>) -> DynTool {
    DynTool::from_schema(name, "", json!({ "type": "object" }), step)
}

/// The peer over HTTP, in a process of its own that ends when this is dropped.
pub(crate) struct HttpPeer {
    pub(crate) child: tokio::process::Child,
    pub(crate) url: String,
}

impl HttpPeer {
    pub(crate) async fn start(environment: &[(&str, &str)]) -> HttpPeer {
        HttpPeer::start_at("127.0.0.1:0", environment).await
    }

    pub(crate) async fn start_at(address: &str, environment: &[(&str, &str)]) -> HttpPeer {
        let mut child = tokio::process::Command::new(test_servers::program())
            .args(test_servers::arguments())
            .env(test_servers::SERVE, format!("http {address}"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = timeout(TEST_TIMEOUT, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("the peer prints its URL");
            if line.starts_with("http://") {
                return HttpPeer { child, url: line };
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned()
    }
}

/// A server over HTTP in this process, which ends when this is dropped.
pub(crate) struct LocalServer {
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<()>>,
}

impl LocalServer {
    pub(crate) async fn start(server: Server) -> LocalServer {
        let bound = server.http("127.0.0.1:0").bind().await.unwrap();
        let url = bound.url();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        LocalServer { url, stop: Some(stop), serving }
    }

    /// Requests the shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self, limit: Duration) {
        timeout(limit, &mut self.serving).await.unwrap().unwrap().unwrap();
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server over streams in this process, and a client that writes and reads JSON lines by hand.
pub(crate) struct StreamServer {
    /// `None` after [`close_input`](StreamServer::close_input).
    input: Option<DuplexStream>,
    output: BufReader<DuplexStream>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<()>>,
}

impl StreamServer {
    /// Starts a server over pipes of `capacity` bytes, and performs the handshake.
    pub(crate) async fn start(server: Server, capacity: usize) -> StreamServer {
        let (input, server_input) = tokio::io::duplex(capacity);
        let (server_output, output) = tokio::io::duplex(capacity);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(server.serve_streams(server_input, server_output, shutdown));
        let mut streams =
            StreamServer { input: Some(input), output: BufReader::new(output), stop: Some(stop), serving };
        let params = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "0" }
        });
        streams.send(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })).await;
        assert_eq!(streams.receive().await["result"]["serverInfo"]["name"], "test");
        streams.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        streams
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_line(&message.to_string()).await;
    }

    pub(crate) async fn send_line(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Sends a call of a tool.
    pub(crate) async fn call(&mut self, id: u64, name: &str, arguments: Value) {
        let params = json!({ "name": name, "arguments": arguments });
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })).await;
    }

    pub(crate) async fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Reads up to `len` bytes.
    pub(crate) async fn read_bytes(&mut self, len: usize) -> usize {
        self.output.read(&mut vec![0; len]).await.unwrap()
    }

    /// Closes the input of the server; its output stays open.
    pub(crate) fn close_input(&mut self) {
        drop(self.input.take());
    }

    /// Requests the shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self, limit: Duration) {
        timeout(limit, self.serving).await.unwrap().unwrap().unwrap();
    }

    /// Closes both streams, and waits until the server has ended.
    pub(crate) async fn disconnect(self) {
        drop((self.input, self.output));
        self.serving.await.unwrap().unwrap();
    }
}

/// A file to which the peer's tool `wait` writes a line at its start and a line if it is stopped early.
pub(crate) struct TraceFile {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl TraceFile {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        TraceFile { _folder: folder, path }
    }

    /// Returns the arguments of a call of `wait` that writes to this file.
    pub(crate) fn arguments(&self, ms: u64) -> Value {
        json!({ "ms": ms, "trace": self.path })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.path).unwrap_or_default().lines().map(String::from).collect()
    }

    pub(crate) async fn started(&self) {
        eventually("the start of the work", || self.lines() == ["started"]).await;
    }

    pub(crate) async fn stopped(&self) {
        eventually("the end of the work", || self.lines() == ["started", "stopped"]).await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("timed out: {what}");
}

/// Returns whether a process exists and is not a zombie.
pub(crate) fn is_alive(process: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

pub(crate) fn kill(process: u32) {
    let status = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    assert!(status.success());
}
