//! A hand-written server that misbehaves: it ignores cancellations, answers late, lists its tools on several pages,
//! turns ids into strings, and exits during a call.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

fn tool(name: &str) -> Value {
    let hints = json!({ "readOnlyHint": false, "destructiveHint": name == "exit" });
    json!({ "name": name, "description": name, "inputSchema": { "type": "object" }, "annotations": hints })
}

fn send(out: &Arc<Mutex<std::io::Stdout>>, message: &Value) {
    if let Ok(mut out) = out.lock() {
        let _ = writeln!(out, "{message}");
        let _ = out.flush();
    }
}

pub(crate) async fn serve() {
    if std::env::var("MISBEHAVING_EXIT").is_ok() {
        eprintln!("no licence for {}", std::env::var("MISBEHAVING_EXIT").unwrap_or_default());
        return;
    }
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let cancelled = Arc::new(Mutex::new(0));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut calls = tokio::task::JoinSet::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": message["id"].to_string(), "result": result });
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => send(
                &out,
                &json!({ "jsonrpc": "2.0", "id": message["id"], "result": {
                    "protocolVersion": "2025-06-18", "capabilities": { "tools": { "listChanged": true } },
                    "serverInfo": { "name": "misbehaving", "version": "0" } } }),
            ),
            "tools/list" => match message["params"]["cursor"].as_str() {
                None => send(&out, &answer(json!({ "tools": [tool("late"), tool("exit")], "nextCursor": "2" }))),
                Some("2") => {
                    send(&out, &answer(json!({ "tools": [tool("cancelled"), tool("picture")], "nextCursor": "3" })));
                }
                Some(_) => send(&out, &answer(json!({ "tools": [tool("change")] }))),
            },
            "notifications/cancelled" => {
                if let Ok(mut count) = cancelled.lock() {
                    *count += 1;
                }
            }
            "tools/call" => {
                let text = |text: String| json!({ "content": [{ "type": "text", "text": text }] });
                match message["params"]["name"].as_str().unwrap_or_default() {
                    "late" => {
                        let ms = message["params"]["arguments"]["ms"].as_u64().unwrap_or_default();
                        let (out, answer) = (out.clone(), answer(text("late".to_owned())));
                        calls.spawn(async move {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            send(&out, &answer);
                        });
                    }
                    "exit" => std::process::exit(1),
                    "cancelled" => {
                        let count = cancelled.lock().map(|count| *count).unwrap_or_default();
                        send(&out, &answer(text(count.to_string())));
                    }
                    "picture" => send(
                        &out,
                        &answer(json!({ "content": [{ "type": "text", "text": "look" },
                            { "type": "image", "data": "aGk=", "mimeType": "image/png" }] })),
                    ),
                    _ => {
                        send(&out, &json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
                        send(&out, &answer(text("changed".to_owned())));
                    }
                }
            }
            _ => {}
        }
    }
}
