//! A server written by hand whose answers are as long as they are wanted, with the id before or behind them. For tests.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

pub(crate) fn serve() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let id = &message["id"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "lengthy", "version": "0" } }),
            "tools/list" => {
                json!({ "tools": [{ "name": "text", "description": "t", "inputSchema": { "type": "object" } }] })
            }
            "tools/call" => {
                let arguments = &message["params"]["arguments"];
                let text = "x".repeat(usize::try_from(arguments["bytes"].as_u64().unwrap_or_default()).unwrap());
                let result = json!({ "content": [{ "type": "text", "text": text }] });
                if arguments["form"] == "noise" {
                    let _ = writeln!(out, "{}", "noise ".repeat(3 << 20));
                }
                let _ = match arguments["form"].as_str().unwrap_or_default() {
                    "behind" => writeln!(out, "{{\"result\":{result},\"jsonrpc\":\"2.0\",\"id\":{id}}}"),
                    // Without an end, and with nothing behind it.
                    "endless" => loop {
                        if write!(out, "{text}").is_err() {
                            return;
                        }
                    },
                    _ => writeln!(out, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"),
                };
                let _ = out.flush();
                continue;
            }
            _ => continue,
        };
        let _ = writeln!(out, "{}", json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        let _ = out.flush();
    }
}
