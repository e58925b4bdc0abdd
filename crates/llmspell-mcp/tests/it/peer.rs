//! Clients of the servers that are there to test with, and what tests wait for.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Result, Step};
use llmspell_mcp::{Client, ClientBuilder};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{sleep, timeout};

use crate::serve;

/// What no test takes.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs a test, but not for ever.
pub(crate) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    timeout(LONGEST, test).await.expect("the test takes too long")
}

pub(crate) fn stdio() -> ClientBuilder {
    Client::stdio(serve::program()).args(serve::arguments()).env(serve::SERVE, "stdio")
}

pub(crate) fn ignores_cancel() -> ClientBuilder {
    Client::stdio(serve::program()).args(serve::arguments()).env(serve::SERVE, "heedless")
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
}

/// A client and its tools.
pub(crate) async fn connected(connect: ClientBuilder) -> (Client, Tools) {
    let client = connect.connect(&Context::new()).await.unwrap();
    let tools = Tools::of(&client).await;
    (client, tools)
}

/// The peer behind HTTP; ends when dropped.
pub(crate) struct Web {
    pub(crate) child: tokio::process::Child,
    pub(crate) url: String,
}

impl Web {
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Web {
        Web::start_at("127.0.0.1:0", environment).await
    }

    pub(crate) async fn start_at(address: &str, environment: &[(&str, &str)]) -> Web {
        let mut child = tokio::process::Command::new(serve::program())
            .args(serve::arguments())
            .env(serve::SERVE, format!("http {address}"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = timeout(LONGEST, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("the peer says where it is");
            if line.starts_with("http://") {
                return Web { child, url: line };
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned()
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} does not come about");
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(process: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

pub(crate) fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(String::from).collect()
}
