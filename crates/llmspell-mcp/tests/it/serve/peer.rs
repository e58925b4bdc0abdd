//! A server whose tools echo, wait, fail, panic, show progress, and tell what became of them.
//!
//! `PEER_LIMIT`, `PEER_QUEUE`, `PEER_TOKEN`, `PEER_TIMEOUT_MS` and `PEER_HOST` set what their names say.

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
    /// A file that is told of the beginning, and of the end if it is a premature one.
    trace: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Count {
    to: u64,
    /// Milliseconds between two.
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Nothing {}

fn note(trace: &Option<String>, text: &str) {
    if let Some(path) = trace
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{text}");
    }
}

/// Tells of an end that came too early.
struct Trace {
    trace: Option<String>,
    is_done: bool,
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.is_done {
            note(&self.trace, "stopped");
        }
    }
}

async fn wait(wait: Wait, _: Context) -> Result<String> {
    note(&wait.trace, "began");
    let mut trace = Trace { trace: wait.trace, is_done: false };
    tokio::time::sleep(Duration::from_millis(wait.ms)).await;
    trace.is_done = true;
    Ok(format!("waited {} ms", wait.ms))
}

/// Says how many calls there are.
#[derive(Default)]
struct Crowd {
    here: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

struct Member(Arc<Crowd>);

impl Member {
    fn join(crowd: &Arc<Crowd>) -> Self {
        let here = crowd.here.fetch_add(1, Ordering::SeqCst) + 1;
        crowd.most.fetch_max(here, Ordering::SeqCst);
        crowd.all.fetch_add(1, Ordering::SeqCst);
        Member(crowd.clone())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tools() -> Vec<DynTool> {
    let crowd = Arc::new(Crowd::default());
    let seen = crowd.clone();
    let crowded = step(move |arguments: Wait, _: Context| {
        let crowd = crowd.clone();
        async move {
            let _member = Member::join(&crowd);
            tokio::time::sleep(Duration::from_millis(arguments.ms)).await;
            Ok("was there")
        }
    });
    vec![
        Tool::new("echo", "Says it again.", |arguments: Text, _| async move { Ok(arguments.text) }).erase(),
        Tool::new("add", "Adds two numbers.", |n: Numbers, _| async move { Ok(json!({ "sum": n.a + n.b })) }).erase(),
        Tool::new("wait", "Waits, and may leave traces.", wait).security(Privilege::Privileged).erase(),
        Tool::of("look", "Waits, and leaves the world as it is.", step(wait).idempotent())
            .security(Privilege::Restricted)
            .erase(),
        Tool::new("fail", "Fails.", |_: Nothing, _| async {
            Err::<(), _>(Error::failed("there is no such page").with_hint("try another page"))
        })
        .erase(),
        Tool::new("panic", "Panics.", |_: Nothing, _| async {
            if true {
                panic!("out of cheese");
            }
            Ok(())
        })
        .erase(),
        Tool::new("count", "Counts, and shows each number.", |count: Count, cx: Context| async move {
            for number in 1..=count.to {
                cx.emit(json!({ "number": number })).await?;
                tokio::time::sleep(Duration::from_millis(count.ms)).await;
            }
            Ok(json!({ "counted": count.to }))
        })
        .erase(),
        Tool::of("crowd", "Is one of many.", crowded).security(Privilege::Privileged).erase(),
        Tool::new("crowds", "Tells how many there were at once, and in all.", move |_: Nothing, _| {
            let seen = seen.clone();
            async move {
                let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
                Ok(json!({ "here": load(&seen.here), "most": load(&seen.most), "all": load(&seen.all) }))
            }
        })
        .erase(),
        Tool::new("environment", "Tells its environment.", |_: Nothing, _| async {
            let variables = std::env::vars().map(|(name, value)| (name, Value::String(value)));
            Ok(Value::Object(variables.collect()))
        })
        .erase(),
        Tool::new("spawn", "Starts a process that goes on, and tells its number.", |_: Nothing, _| async {
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

/// Serves over the standard streams, or at an address of HTTP, which it prints.
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
    let listening = http.bind().await?;
    println!("{}", listening.url());
    listening.serve(std::future::pending()).await
}
