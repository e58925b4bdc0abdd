//! Runs against a server that asks for credentials or money.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::program::{Folder, lines};

/// Answers the first `paid` requests with 200, and all others with `status`.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(paid: usize, status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<AtomicUsize>::default();
        let seen = requests.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let number = seen.fetch_add(1, Ordering::SeqCst);
                answers.spawn(answer(socket, if number < paid { "200 OK" } else { status }));
            }
        });
        Server { address, requests, _tasks: tasks }
    }
}

async fn answer(mut socket: TcpStream, status: &str) {
    let _ = socket.read(&mut [0; 2048]).await;
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
    let _ = socket.write_all(answer.as_bytes()).await;
}

const FLOW: &str = "flow: f\nallow: { net: ['*'] }\nsteps:\n  - id: page\n    tool: http_get\n    with: { url: \"http://${{ inputs.host }}/\" }\n\
                    \x20   retry: { max: 3, base: 1ms }\n    limit: 4\noutput: ${{ steps.page.status }}\n";

fn folder(server: &Server, records: usize) -> Folder {
    // Blank lines count as lines, but not as records.
    let record = format!("{{\"host\":\"{}\"}}\n\n", server.address);
    Folder::new().with("f.yaml", FLOW).with("in.jsonl", record.repeat(records))
}

#[tokio::test]
async fn a_run_stops_when_credentials_or_money_are_missing() {
    for (status, flags) in [("402 Payment Required", &[][..]), ("401 Unauthorized", &["--unordered", "--quiet"])] {
        let server = Server::start(50, status).await;
        let folder = folder(&server, 10_000);
        let net = format!("net={}", server.address);
        let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "-l", "8", "--allow", &net];
        let ended = folder.run(&[&args[..], flags].concat()).await;
        assert_eq!(ended.code, Some(4), "{}", ended.err);

        let out = lines(&folder.read("out.jsonl.partial"));
        let ok = out.iter().filter(|line| line["status"] == "ok").count();
        let denied = out.iter().filter(|line| line["error"]["kind"] == "denied").count();
        assert_eq!((ok, ok + denied), (50, out.len()), "what was delivered stays, nothing else is in there");
        // Ten in a row, and those in flight at that time. On a busy machine also those that finished before the tenth was
        // read, because outcomes wait in a window of 64.
        assert!((10..=10 + 8 + 64).contains(&denied), "{denied}");
        assert_eq!(server.requests.load(Ordering::SeqCst), out.len(), "and nothing else was asked for");
        assert!(!folder.path("out.jsonl").exists());

        let (rest, line) = (10_000 - out.len(), 2 * out.len() + 1);
        let rest = format!("\n\n9,{:03} records were not admitted, from line {line} on\n", rest % 1000);
        assert!(ended.err.contains(&rest), "{}", ended.err);
        let reason = format!(
            "error: stopped, because credentials or money are missing: f.page: GET http://{}/: {status}: hi",
            server.address
        );
        assert!(ended.err.contains(&reason), "{}", ended.err);
        let hint = format!(
            "hint: provide them, then resume the run: llmspell resume f-1 --allow {net}; --keep-going admits every"
        );
        assert!(ended.err.contains(&hint), "{}", ended.err);
        assert!(ended.err.contains(&format!("{} records in ", out.len())), "{}", ended.err);
        assert!(
            ended.err.contains(&format!("50 ok, {denied} failed\nincomplete: {} lines", out.len())),
            "{}",
            ended.err
        );
    }
}

#[tokio::test]
async fn keep_going_admits_every_record() {
    let server = Server::start(5, "402 Payment Required").await;
    let folder = folder(&server, 100);
    let net = format!("net={}", server.address);
    let args = ["run", "f.yaml", "-i", "in.jsonl", "--allow", &net];
    let ended = folder.run(&[&args[..], &["--keep-going"]].concat()).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(3), 100));
    let mut command = folder.command(&args);
    let ended = crate::program::wait(command.env("LLMSPELL_KEEP_GOING", "1").spawn().unwrap()).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(3), 100));
}

/// No record remains that the stop could spare.
#[tokio::test]
async fn a_denied_run_without_remaining_records_is_complete() {
    let server = Server::start(0, "402 Payment Required").await;
    let folder = folder(&server, 9);
    let net = format!("net={}", server.address);
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--allow", &net]).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(3), 9), "{}", ended.err);
}

/// Some pages of a list ask for a password, which does not concern the others.
#[tokio::test]
async fn scattered_denials_do_not_stop_a_run() {
    let (open, private) = (Server::start(usize::MAX, "").await, Server::start(0, "401 Unauthorized").await);
    let record = |server: &Server, times| format!("{{\"host\":\"{}\"}}\n", server.address).repeat(times);
    let records = format!("{}{}", record(&open, 12), record(&private, 5)).repeat(10);
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", records);
    let [open, private] = [open, private].map(|server| format!("net={}", server.address));
    let hosts = ["--allow", &open, "--allow", &private];
    let ended = folder.run(&[&["run", "f.yaml", "-i", "in.jsonl"][..], &hosts].concat()).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(3), 170), "{}", ended.err);
}

/// The records of a pipe that stays open cannot all be counted, and the wait for them is bounded.
#[tokio::test]
async fn counting_the_remaining_records_does_not_wait_for_an_endless_input() {
    let server = Server::start(0, "402 Payment Required").await;
    let folder = folder(&server, 1);
    let net = format!("net={}", server.address);
    let mut command = folder.command(&["run", "f.yaml", "-i", "-", "--allow", &net]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let record = format!("{{\"host\":\"{}\"}}\n", server.address);
    stdin.write_all(record.repeat(100).as_bytes()).await.unwrap();
    let ended = crate::program::wait(child).await;
    drop(stdin);
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    let out = lines(&ended.out).len();
    let rest = format!("\n\nat least {} records were not admitted, from line {} on\n", 100 - out, out + 1);
    assert!(ended.err.contains(&rest), "{}", ended.err);
}
