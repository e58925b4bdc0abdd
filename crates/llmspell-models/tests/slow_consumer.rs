//! A consumer that stalls stalls the server; nothing piles up. In a process of its own, whose memory is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use llmspell::Context;
use llmspell::model::{Finish, Model, ModelEvent, Request};
use llmspell_models::{Models, Wire};
use llmspell_test::fault_server::{Answer, FaultServer};
use serde_json::json;
use tokio::time::timeout;

/// Nothing here takes that long.
const LONG: Duration = Duration::from_secs(60);

/// Returns the resident memory of this process in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_slow_consumer_of_a_large_reply_holds_the_server_up() {
    const MIB: u64 = 1 << 20;
    let piece = json!({ "choices": [{ "index": 0, "delta": { "content": "x".repeat(16 * 1024) } }] });
    let piece = format!("data: {piece}\n\n");
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let answer = Answer::events().repeat(piece, 4096).data(finish).done(); // 64 MiB
    let server = FaultServer::start().await.unwrap();
    server.answer(answer);
    let model = Models::new().endpoint("test", Wire::OpenAi, server.url("/v1")).get("test/scripted").unwrap();
    let mut stream = model.stream(Request::new("Much."), &Context::new());
    while !matches!(timeout(LONG, stream.next()).await.unwrap(), Some(Ok(ModelEvent::Text(_)))) {}
    let before = resident();
    // Until nothing more is taken from the server.
    let mut written = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let more = server.requests()[0].written;
        if more == written {
            break;
        }
        written = more;
    }
    // The buffers of the sockets, on a machine that has them large; they are not in this process.
    assert!(written < 32 * MIB, "the server has got rid of {written} bytes");
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "a stalled consumer costs {grown} bytes");

    let (mut length, mut peak) = (16 * 1024, 0);
    let finish = loop {
        match timeout(LONG, stream.next()).await.unwrap().unwrap().unwrap() {
            ModelEvent::Text(text) => {
                length += text.len() as u64;
                peak = peak.max(resident().saturating_sub(before));
            }
            ModelEvent::Finish(finish) => break finish,
            _ => {}
        }
    };
    eprintln!("stalled: {written} bytes written, {grown} more in memory; at the most {peak} in all");
    assert_eq!((length, finish), (64 * MIB, Finish::Stop));
    assert!(peak < 16 * MIB, "the whole reply costs {peak} bytes");
}
