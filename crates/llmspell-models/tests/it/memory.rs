//! A consumer that stalls stalls the server; nothing piles up.

use std::time::Duration;

use llmspell::Context;
use llmspell::model::{Finish, Model, ModelEvent, Request};
use llmspell_models::Wire;
use llmspell_models::fault_server::Answer;
use serde_json::json;

use super::{model, server, soon};

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_slow_consumer_of_a_large_reply_holds_the_server_up() {
    const MIB: u64 = 1 << 20;
    let piece = json!({ "choices": [{ "index": 0, "delta": { "content": "x".repeat(16 * 1024) } }] });
    let piece = format!("data: {piece}\n\n");
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let answer = Answer::events().repeat(piece, 4096).data(finish).done(); // 64 MiB
    let server = server([answer]).await;
    let model = model(&server, Wire::OpenAi);
    let mut stream = model.stream(Request::new("Much."), &Context::new());
    while !matches!(soon(stream.next()).await, Some(Ok(ModelEvent::Text(_)))) {}
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
        match soon(stream.next()).await.unwrap().unwrap() {
            ModelEvent::Text(text) => {
                length += text.len() as u64;
                peak = peak.max(resident().saturating_sub(before));
            }
            ModelEvent::Finish(finish) => break finish,
            _ => {}
        }
    };
    assert_eq!((length, finish), (64 * MIB, Finish::Stop));
    // Other tests run in this process; the reply would be 64 MiB, and with copies more.
    assert!(peak < 32 * MIB, "the whole reply costs {peak} bytes");
}

#[tokio::test]
async fn a_large_call_of_a_tool_is_not_repeated_with_every_piece() {
    let call = |call: serde_json::Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
    let first = call(json!({ "index": 0, "id": "c1", "function": { "name": "write", "arguments": "\"" } }));
    let piece = call(json!({ "index": 0, "function": { "arguments": "x".repeat(64) } }));
    let last = call(json!({ "index": 0, "function": { "arguments": "\"" } }));
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let answer =
        Answer::events().data(first).repeat(format!("data: {piece}\n\n"), 16_384).data(last).data(finish).done();
    let server = server([answer]).await;
    let (events, error) = super::events(&model(&server, Wire::OpenAi), "Write.").await;
    assert!(error.is_none(), "{error:?}");
    let pieces = events.iter().filter_map(|event| match event {
        ModelEvent::ToolCall(delta) => Some(delta.arguments.len()),
        _ => None,
    });
    assert_eq!(pieces.sum::<usize>(), 64 * 16_384 + 2);
}
