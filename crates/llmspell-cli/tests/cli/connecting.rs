//! Signals while MCP servers connect: no server is left behind, and the cancellation is reported.

use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::Instant;

use crate::program::{Folder, until, wait};
use crate::signals::{runs, signal};

const RUN: &[&str] = &["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "command"];
const CHECK: &[&str] = &["check", "--connect", "f.yaml", "--allow", "command"];

/// Two servers, of which one connects and one never answers. Each starts another process.
fn folder(there: &str) -> Folder {
    let flow = format!(
        "flow: f\nallow: {{ command: [python3], tool: [there.say, never.say] }}\ntools:\n  \
         there: {{ mcp: {{ command: [python3, server.py, {there}] }} }}\n  \
         never: {{ mcp: {{ command: [python3, server.py, silent] }} }}\n\
         steps: [{{ id: a, tool: there.say }}, {{ id: b, tool: never.say }}]\n"
    );
    Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n").with("server.py", include_str!("server.py"))
}

fn pids(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path("pids")).unwrap_or_default()
}

/// Starts the command and waits until one server is connected and the other one never will be.
async fn connecting(folder: &Folder, command: &[&str]) -> Child {
    let tools = ["--allow", "tool=there.say", "--allow", "tool=never.say"];
    let child = folder.start(&[command, &tools].concat());
    until("both servers, and one that is there", || {
        pids(folder).lines().count() == 4 && folder.path("listed").exists()
    })
    .await;
    assert!(pids(folder).lines().all(runs));
    child
}

#[tokio::test]
async fn a_signal_cancels_connecting_and_leaves_no_server_behind() {
    let ways = [(Signal::INT, 130), (Signal::TERM, 130), (Signal::HUP, 129), (Signal::QUIT, 131)];
    for (command, ways) in [(RUN, &ways[..]), (CHECK, &ways[..3])] {
        for (which, code) in ways {
            let folder = folder("orderly");
            let child = connecting(&folder, command).await;
            signal(&child, *which);
            let began = Instant::now();
            let ended = wait(child).await;
            assert_eq!(ended.code, Some(*code), "{command:?} {ended:?}");
            assert_eq!(ended.err, "stopping: MCP servers were being connected, and no record was run\n");
            assert!(began.elapsed() < Duration::from_secs(5));
            until("the end of all", || !pids(&folder).lines().any(runs)).await;
            assert_eq!(ended.out, "");
            assert!(!folder.path("out.jsonl.partial").exists() && !folder.path(".llmspell").exists());
        }
    }
}

#[tokio::test]
async fn the_second_ctrl_c_does_not_wait_for_a_connected_server() {
    for (which, code) in [(Signal::INT, 130), (Signal::HUP, 130)] {
        let folder = folder("stubborn");
        let child = connecting(&folder, RUN).await;
        signal(&child, Signal::INT);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        signal(&child, which);
        let ended = wait(child).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.ends_with("no record was run\nstopping immediately\n"), "{}", ended.err);
        // The server would have had 4 s.
        assert!(began.elapsed() < Duration::from_secs(2));
        until("the end of all", || !pids(&folder).lines().any(runs)).await;
    }
}

#[tokio::test]
async fn with_progress_json_the_cancellation_is_an_object() {
    let folder = folder("orderly");
    let child = connecting(&folder, &[RUN, &["--progress", "json"]].concat()).await;
    signal(&child, Signal::INT);
    let reported = crate::program::lines(&wait(child).await.err);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0]["notice"].as_str().unwrap().starts_with("stopping: "), "{reported:?}");
}

/// The hints name keys of flow files.
#[tokio::test]
async fn hints_about_unreachable_servers_name_keys_of_flows() {
    let flow = |server: &str| {
        format!(
            "flow: f\nallow: {{ command: [python3, 'true'], net: [127.0.0.1], tool: [s.x] }}\n\
             tools: {{ s: {{ mcp: {server} }} }}\nsteps: [{{ id: a, tool: s.x }}]\n"
        )
    };
    let asks = llmspell_test::fault_server::FaultServer::start().await.unwrap();
    asks.otherwise(llmspell_test::fault_server::Answer::status(401).header("www-authenticate", "Bearer"));
    let http = format!("{{ url: '{}' }}", asks.url("/mcp"));
    let with_token = format!("{{ url: '{}', token: PATH }}", asks.url("/mcp"));
    for (server, reported, hint) in [
        (
            "{ command: [python3, server.py, silent], connect: 500ms }",
            "did not answer the handshake in time",
            "`connect: 2m`",
        ),
        ("{ command: ['true'] }", "before the handshake was complete", "`env: [NAME]`"),
        (http.as_str(), "wants other credentials (HTTP 401)", "`token: NAME`"),
        (with_token.as_str(), "wants other credentials (HTTP 401)", "check that PATH holds a token"),
    ] {
        let folder = Folder::new().with("f.yaml", flow(server)).with("in.jsonl", "{}\n");
        let folder = folder.with("server.py", include_str!("server.py"));
        let grants = ["--allow", "command", "--allow", "net", "--allow", "tool=s.x"];
        for command in [&["run", "f.yaml", "-i", "in.jsonl"][..], &["check", "--connect", "f.yaml"]] {
            let ended = folder.run(&[command, &grants].concat()).await;
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.err.contains(reported) && ended.err.contains(hint), "{}", ended.err);
            assert!(!ended.err.contains("connect_timeout") && !ended.err.contains("inherit"), "{}", ended.err);
        }
        until("the end of all", || !pids(&folder).lines().any(runs)).await;
    }
}
