//! One connection of the server: HTTP/1.1, one exchange.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use super::answer::{Answer, AnswerEnd, ServerAction};
use super::{End, ReceivedRequest, Shared};

/// The maximum size of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (mut from, mut to) = stream.into_split();
    let Ok(Some(request)) = read(&mut from).await else { return };
    let (index, answer) = shared.begin(request);
    let mut buffer = [0; 1024];
    let gone = async {
        // The request is complete: the end of the input means that the client has disconnected.
        while matches!(from.read(&mut buffer).await, Ok(read) if read > 0) {}
    };
    let end = tokio::select! {
        biased;
        written = write(&mut to, answer, |more| shared.update(index, |request| request.written += more)) => {
            written.unwrap_or(End::Gone)
        }
        () = gone => End::Gone,
    };
    // Before the connection closes: a client that sees it close can query the end.
    shared.update(index, |request| request.end = Some(end));
}

async fn read(from: &mut OwnedReadHalf) -> io::Result<Option<ReceivedRequest>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        // A client that does not start with a method, such as one with TLS, gets no answer.
        let is_http = bytes.first().is_none_or(u8::is_ascii_uppercase);
        if !is_http || bytes.len() > MAX_HEAD_BYTES || from.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = bytes.split_off(head + 4);
    while body.len() < length.unwrap_or(0) {
        if from.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Some(ReceivedRequest { method, path, headers, body, written: 0, end: None }))
}

async fn write(to: &mut OwnedWriteHalf, answer: Answer, update: impl Fn(u64)) -> io::Result<End> {
    let mut head =
        format!("HTTP/1.1 {} Scripted\r\nconnection: close\r\ntransfer-encoding: chunked\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut is_started = false;
    for action in &answer.actions {
        // A pause at the start comes before the headers.
        if let ServerAction::Pause(time) = action {
            sleep(*time).await;
            continue;
        }
        if !std::mem::replace(&mut is_started, true) {
            to.write_all(head.as_bytes()).await?;
        }
        match action {
            ServerAction::Pause(_) | ServerAction::Begin => {}
            ServerAction::Write(text) => write_chunk(to, text.as_bytes(), &update).await?,
            ServerAction::Repeat(text, times) => {
                for _ in 0..*times {
                    write_chunk(to, text.as_bytes(), &update).await?;
                }
            }
        }
    }
    if !is_started && !matches!(answer.answer_end, AnswerEnd::Cut) {
        to.write_all(head.as_bytes()).await?;
    }
    match answer.answer_end {
        AnswerEnd::Complete => {
            to.write_all(b"0\r\n\r\n").await?;
            to.shutdown().await?;
            Ok(End::Complete)
        }
        AnswerEnd::Cut => Ok(End::Cut),
        AnswerEnd::Stall => std::future::pending().await,
    }
}

async fn write_chunk(to: &mut OwnedWriteHalf, bytes: &[u8], update: &impl Fn(u64)) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    to.write_all(&chunk).await?;
    update(bytes.len() as u64);
    Ok(())
}
