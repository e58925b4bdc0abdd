//! A well-behaved server whose tools echo, wait, fail, panic, emit progress, and record their calls.
//!
//! The variables `PEER_LIMIT`, `PEER_QUEUE`, `PEER_TOKEN`, `PEER_TIMEOUT_MS` and `PEER_HOST` configure it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::schemars::{self, JsonSchema};
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Step, Tool, step};
use llmspell_mcp::Server;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Numbers {
    a: f64,
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Wait {
    /// Milliseconds.
    ms: u64,
    /// A file that gets a line at the start, and another if the work is stopped early.
    trace: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Count {
    to: u64,
    /// Milliseconds between two chunks.
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Nothing {}

fn append(trace: &Option<String>, text: &str) {
    if let Some(path) = trace
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{text}");
    }
}

/// Writes `stopped` to the trace if the work is dropped before its end.
struct Trace {
    trace: Option<String>,
    is_done: bool,
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.is_done {
            append(&self.trace, "stopped");
        }
    }
}

async fn wait(wait: Wait, _: Context) -> Result<String> {
    append(&wait.trace, "started");
    let mut trace = Trace { trace: wait.trace, is_done: false };
    tokio::time::sleep(Duration::from_millis(wait.ms)).await;
    trace.is_done = true;
    Ok(format!("waited {} ms", wait.ms))
}

/// Counts calls.
#[derive(Default)]
struct CallCounts {
    running: AtomicUsize,
    peak: AtomicUsize,
    total: AtomicUsize,
}

/// Counts as a running call until it is dropped.
struct RunningCall(Arc<CallCounts>);

impl RunningCall {
    fn start(counts: &Arc<CallCounts>) -> Self {
        let running = counts.running.fetch_add(1, Ordering::SeqCst) + 1;
        counts.peak.fetch_max(running, Ordering::SeqCst);
        counts.total.fetch_add(1, Ordering::SeqCst);
        RunningCall(counts.clone())
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tools() -> Vec<DynTool> {
    let counts = Arc::new(CallCounts::default());
    let read_counts = counts.clone();
    let counted_wait = step(move |arguments: Wait, _: Context| {
        let counts = counts.clone();
        async move {
            let _running = RunningCall::start(&counts);
            tokio::time::sleep(Duration::from_millis(arguments.ms)).await;
            Ok("waited")
        }
    });
    vec![
        Tool::new("echo", "Returns the text.", |arguments: Text, _| async move { Ok(arguments.text) }).erase(),
        Tool::new("add", "Adds two numbers.", |n: Numbers, _| async move { Ok(json!({ "sum": n.a + n.b })) }).erase(),
        Tool::new("wait", "Waits, and may write a trace.", wait).security(Privilege::Privileged).erase(),
        Tool::of("wait_idempotent", "Waits, without side effects.", step(wait).idempotent())
            .security(Privilege::Restricted)
            .erase(),
        Tool::new("fail", "Fails.", |_: Nothing, _| async {
            Err::<(), _>(Error::failed("page not found").with_hint("try another page"))
        })
        .erase(),
        Tool::new("panic", "Panics.", |_: Nothing, _| async {
            if true {
                panic!("out of cheese");
            }
            Ok(())
        })
        .erase(),
        Tool::new("count", "Counts, and emits each number.", |count: Count, cx: Context| async move {
            for number in 1..=count.to {
                cx.emit(json!({ "number": number })).await?;
                tokio::time::sleep(Duration::from_millis(count.ms)).await;
            }
            Ok(json!({ "counted": count.to }))
        })
        .erase(),
        Tool::of("counted_wait", "Waits, and is counted.", counted_wait).security(Privilege::Privileged).erase(),
        Tool::new("call_counts", "Returns the counts of `counted_wait`.", move |_: Nothing, _| {
            let counts = read_counts.clone();
            async move {
                let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
                Ok(json!({ "running": load(&counts.running), "peak": load(&counts.peak), "total": load(&counts.total) }))
            }
        })
        .erase(),
        Tool::new("environment", "Returns its environment.", |_: Nothing, _| async {
            let variables = std::env::vars().map(|(name, value)| (name, Value::String(value)));
            Ok(Value::Object(variables.collect()))
        })
        .erase(),
        Tool::new("spawn", "Starts a process that keeps running, and returns its id.", |_: Nothing, _| async {
            let child = std::process::Command::new("sleep").arg("1000").spawn()?;
            Ok(json!({ "process": child.id() }))
        })
        .security(Privilege::Privileged)
        .erase(),
    ]
}

fn number(name: &str, default: usize) -> Result<usize> {
    std::env::var(name).map_or(Ok(default), |text| Ok(text.parse()?))
}

/// Serves over the standard streams, or over HTTP at an address, and prints the URL.
pub(crate) async fn serve(address: Option<&str>) -> Result<()> {
    let server = Server::new("peer", "1.0")
        .instructions("For tests.")
        .tools(tools())
        .limit(number("PEER_LIMIT", 64)?)
        .queue(number("PEER_QUEUE", 2000)?)
        .call_timeout(Duration::from_millis(number("PEER_TIMEOUT_MS", 60_000)? as u64))
        .drain(Duration::from_secs(2));
    let Some(address) = address else { return server.stdio(std::future::pending()).await };
    let mut http = server.http(address);
    if let Ok(token) = std::env::var("PEER_TOKEN") {
        http = http.token(token);
    }
    if let Ok(host) = std::env::var("PEER_HOST") {
        http = http.allow_host(host);
    }
    let bound = http.bind().await?;
    println!("{}", bound.url());
    bound.serve(std::future::pending()).await
}
