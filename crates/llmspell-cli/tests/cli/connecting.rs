//! Signals while MCP servers connect: nobody is left behind, and it is told.

use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::Instant;

use crate::program::{Folder, ended, until};
use crate::signals::{runs, signal};

const RUN: &[&str] = &["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "command"];
const CHECK: &[&str] = &["check", "--connect", "f.yaml", "--allow", "command"];

/// Two servers, of which one is there already; each has a process beside it.
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

/// Started, and as far as it can get.
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
async fn a_signal_calls_the_connecting_off_and_leaves_no_server_behind() {
    let ways = [(Signal::INT, 130), (Signal::TERM, 130), (Signal::HUP, 129), (Signal::QUIT, 131)];
    for (command, ways) in [(RUN, &ways[..]), (CHECK, &ways[..3])] {
        for (which, code) in ways {
            let folder = folder("orderly");
            let child = connecting(&folder, command).await;
            signal(&child, *which);
            let began = Instant::now();
            let ended = ended(child).await;
            assert_eq!(ended.code, Some(*code), "{command:?} {ended:?}");
            assert_eq!(ended.err, "stopping: MCP servers were being connected, and nothing was run\n");
            assert!(began.elapsed() < Duration::from_secs(5));
            until("the end of all", || !pids(&folder).lines().any(runs)).await;
            assert_eq!(ended.out, "");
            assert!(!folder.path("out.jsonl.partial").exists() && !folder.path(".llmspell").exists());
        }
    }
}

#[tokio::test]
async fn the_second_ctrl_c_does_not_wait_for_a_server_that_is_connected() {
    for (which, code) in [(Signal::INT, 130), (Signal::HUP, 130)] {
        let folder = folder("stubborn");
        let child = connecting(&folder, RUN).await;
        signal(&child, Signal::INT);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        signal(&child, which);
        let ended = ended(child).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.ends_with("nothing was run\nstopping at once\n"), "{}", ended.err);
        // It would have had 4 s.
        assert!(began.elapsed() < Duration::from_secs(2));
        until("the end of all", || !pids(&folder).lines().any(runs)).await;
    }
}

#[tokio::test]
async fn under_progress_json_it_is_an_object() {
    let folder = folder("orderly");
    let child = connecting(&folder, &[RUN, &["--progress", "json"]].concat()).await;
    signal(&child, Signal::INT);
    let told = crate::program::lines(&ended(child).await.err);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["notice"].as_str().unwrap().starts_with("stopping: "), "{told:?}");
}

/// The hints name what stands in flow files.
#[tokio::test]
async fn a_server_that_does_not_come_up_is_told_in_the_words_of_flows() {
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
    for (server, told, hint) in [
        (
            "{ command: [python3, server.py, silent], connect: 500ms }",
            "did not answer the handshake in time",
            "`connect: 2m`",
        ),
        ("{ command: ['true'] }", "before the handshake was over", "`env: [NAME]`"),
        (http.as_str(), "wants other credentials (HTTP 401)", "`token: NAME`"),
        (with_token.as_str(), "wants other credentials (HTTP 401)", "is what PATH holds a token"),
    ] {
        let folder = Folder::new().with("f.yaml", flow(server)).with("in.jsonl", "{}\n");
        let folder = folder.with("server.py", include_str!("server.py"));
        let grants = ["--allow", "command", "--allow", "net", "--allow", "tool=s.x"];
        for command in [&["run", "f.yaml", "-i", "in.jsonl"][..], &["check", "--connect", "f.yaml"]] {
            let ended = folder.run(&[command, &grants].concat()).await;
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.err.contains(told) && ended.err.contains(hint), "{}", ended.err);
            assert!(!ended.err.contains("connect_timeout") && !ended.err.contains("inherit"), "{}", ended.err);
        }
        until("the end of all", || !pids(&folder).lines().any(runs)).await;
    }
}
