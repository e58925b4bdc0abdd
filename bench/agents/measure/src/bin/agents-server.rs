//! A model server with the API of OpenAI. It streams words at a steady rate, and calls a tool if the request offers
//! one.
//!
//! `agents-server TOKENS EVERY_MS` prints its address, and serves until it is killed. `GET /stats` returns the peak of
//! concurrent answers since the last such request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agents_measure::TOOL_CALLS;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

struct Server {
    tokens: u32,
    every: Duration,
    streaming: AtomicU64,
    peak: AtomicU64,
    requests: AtomicU64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse().expect("a number"));
    let mut next = || arguments.next().expect("usage: agents-server TOKENS EVERY_MS");
    let server = Arc::new(Server {
        tokens: next(),
        every: Duration::from_millis(next().into()),
        streaming: AtomicU64::new(0),
        peak: AtomicU64::new(0),
        requests: AtomicU64::new(0),
    });
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    // Thousands of clients connect at the same time. A client that finds the queue full retries only after a second.
    let listener = socket.listen(8192)?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, server.clone()));
    }
}

/// Serves the requests of one connection until the client closes it.
async fn serve(mut stream: TcpStream, server: Arc<Server>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let Some((path, body)) = read(&mut stream, &mut received).await? else { return Ok(()) };
        if path.starts_with("/stats") {
            let (peak, requests) = (server.peak.swap(0, Ordering::Relaxed), server.requests.swap(0, Ordering::Relaxed));
            let body = json!({ "peak": peak, "requests": requests }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            return stream.write_all((head + &body).as_bytes()).await;
        }
        server.requests.fetch_add(1, Ordering::Relaxed);
        let streaming = server.streaming.fetch_add(1, Ordering::Relaxed) + 1;
        server.peak.fetch_max(streaming, Ordering::Relaxed);
        let answered = answer(&mut stream, &server, &path, &body).await;
        server.streaming.fetch_sub(1, Ordering::Relaxed);
        answered?;
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<(String, Value)>> {
    let head = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&received[..head]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = text.lines().filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    let length: usize = length.last().and_then(|length| length.parse().ok()).unwrap_or(0);
    let end = head + 4 + length;
    while received.len() < end {
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
    let body = serde_json::from_slice(&received[head + 4..end]).unwrap_or(Value::Null);
    received.drain(..end);
    received.shrink_to_fit();
    Ok(Some((path, body)))
}

async fn answer(stream: &mut TcpStream, server: &Server, path: &str, body: &Value) -> io::Result<()> {
    if !path.ends_with("/chat/completions") || body["stream"] != json!(true) {
        eprintln!("not a request for a stream: {path} {body}");
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await?;
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_answered = messages.iter().any(|message| message["role"] == "tool");
    match tools.first() {
        Some(tool) if !is_answered => {
            for call in 0..TOOL_CALLS {
                let (id, name) = (format!("call_{call}"), &tool["function"]["name"]);
                let function = json!({ "name": name, "arguments": "" });
                let delta =
                    json!({ "tool_calls": [{ "index": call, "id": id, "type": "function", "function": function }] });
                send(stream, &chunk(delta, Value::Null)).await?;
                let function = json!({ "arguments": format!("{{\"number\":{call}}}") });
                let delta = json!({ "tool_calls": [{ "index": call, "function": function }] });
                send(stream, &chunk(delta, Value::Null)).await?;
            }
            send(stream, &chunk(json!({}), json!("tool_calls"))).await?;
        }
        Some(_) => {
            send(stream, &chunk(json!({ "role": "assistant", "content": "Done." }), Value::Null)).await?;
            send(stream, &chunk(json!({}), json!("stop"))).await?;
        }
        None => {
            let started = Instant::now();
            for token in 0..server.tokens {
                sleep_until(started + server.every * (token + 1)).await;
                send(stream, &chunk(json!({ "role": "assistant", "content": format!("word{token} ") }), Value::Null))
                    .await?;
            }
            send(stream, &chunk(json!({}), json!("stop"))).await?;
        }
    }
    let mut last = chunk(json!({}), Value::Null);
    last["choices"] = json!([]);
    last["usage"] =
        json!({ "prompt_tokens": 20, "completion_tokens": server.tokens, "total_tokens": 20 + server.tokens });
    send(stream, &last).await?;
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "storyteller",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

async fn send(stream: &mut TcpStream, chunk: &Value) -> io::Result<()> {
    let event = format!("data: {chunk}\n\n");
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await
}
