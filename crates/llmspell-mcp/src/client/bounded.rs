//! What a server writes, with answers that are too long replaced by an error.
//!
//! rmcp leaves out a line that is too long without a word, and its call would be waited for in vain. Whose answer it was
//! is said before the answer or behind it, so the beginning and the end of each line are kept for a look.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, ReadBuf};

use crate::chunk::TOO_LARGE;

/// The longest line, its end included, as rmcp has it by default.
pub(crate) const LONGEST: usize = 16 << 20;

/// Whoever has written this much of one line will not end it.
const ENDLESS: usize = 4 * LONGEST;

/// How much of the beginning and of the end of a line is kept.
const KEPT: usize = 1024;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// The lines of a server. Of one that is too long, only as much comes through as makes rmcp leave it out, and behind it
/// the error of its call.
pub(crate) struct Bounded<R> {
    read: R,
    longest: usize,
    line: Line,
    chunk: Box<[u8]>,
    /// What of the chunk is still to be looked at.
    unseen: std::ops::Range<usize>,
    /// What is still to be handed on.
    ready: std::ops::Range<usize>,
    /// What is said in the server's place, before anything else.
    said: Vec<u8>,
    endless: Arc<AtomicBool>,
}

/// The line that is being read.
#[derive(Default)]
struct Line {
    length: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Whether its call has been told of it.
    is_told: bool,
}

impl<R> Bounded<R> {
    pub(crate) fn new(read: R) -> Self {
        Self::with_longest(read, LONGEST)
    }

    fn with_longest(read: R, longest: usize) -> Self {
        Bounded {
            read,
            longest,
            line: Line::default(),
            chunk: vec![0; CHUNK].into(),
            unseen: 0..0,
            ready: 0..0,
            said: Vec::new(),
            endless: Arc::default(),
        }
    }

    /// Whether it was ended because of a line without an end.
    pub(crate) fn endless(&self) -> Arc<AtomicBool> {
        self.endless.clone()
    }

    /// Looks at what has been read up to the end of a line, and finds out what of it is handed on.
    fn look(&mut self) {
        let unseen = &self.chunk[self.unseen.clone()];
        let end = unseen.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let piece = &unseen[..end.unwrap_or(unseen.len())];
        let was_too_long = self.line.length > self.longest;
        self.line.add(piece);
        if !was_too_long {
            self.ready = self.unseen.start..self.unseen.start + piece.len();
        }
        self.unseen.start += piece.len();
        if self.line.length > self.longest && !self.line.is_told {
            let id = match end {
                Some(_) => self.line.answers_by_head().or_else(|| self.line.answers_by_tail()),
                // Looked for once, and again at the end.
                None if was_too_long => None,
                None => self.line.answers_by_head(),
            };
            if let Some(id) = id {
                self.line.is_told = true;
                self.said = too_large(&id, self.longest).into_bytes();
            } else if end.is_some() {
                // The next line is another one.
                self.said = b"\n".to_vec();
            }
        }
        if self.line.length > self.longest.saturating_mul(ENDLESS / LONGEST) {
            self.endless.store(true, Ordering::Release);
        }
        if end.is_some() {
            self.line = Line::default();
        }
    }
}

impl Line {
    fn add(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(piece.len());
        let room = KEPT - self.head.len();
        self.head.extend_from_slice(&piece[..room.min(piece.len())]);
        let last = &piece[piece.len().saturating_sub(KEPT)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(KEPT);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(last);
    }

    /// The members that have come whole, and what follows them.
    ///
    /// What is an object when it is closed at a comma was cut between two members of the outermost object: within a
    /// string a quotation mark would be missing, and further in a brace.
    fn first(&self) -> Option<(Map<String, Value>, &[u8])> {
        commas(&self.head).rev().find_map(|at| {
            let whole = [&self.head[..at], b"}"].concat();
            Some((serde_json::from_slice(&whole).ok()?, &self.head[at + 1..]))
        })
    }

    /// Which request it answers, if that is said before the answer, as the SDK for Python does.
    fn answers_by_head(&self) -> Option<Value> {
        let (members, next) = self.first()?;
        let next = next.trim_ascii_start();
        (next.starts_with(b"\"result\"") || next.starts_with(b"\"error\"")).then(|| answered(members))?
    }

    /// The same if it is said behind the answer, as the SDK for TypeScript does. The line has ended.
    fn answers_by_tail(&self) -> Option<Value> {
        if self.first().is_some_and(|(members, _)| members.contains_key("method")) {
            return None;
        }
        answered(commas(&self.tail).find_map(|at| {
            let whole = [b"{", &self.tail[at + 1..]].concat();
            serde_json::from_slice(&whole).ok()
        })?)
    }
}

fn commas(bytes: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(at, _)| at)
}

/// The id among the members of an answer. What has a method is none.
fn answered(mut members: Map<String, Value>) -> Option<Value> {
    let is_call = members.contains_key("method");
    members.remove("id").filter(|id| !is_call && (id.is_u64() || id.is_string()))
}

/// The error instead of an answer, on a line of its own: what has come of the answer may still be waiting for its end.
fn too_large(id: &Value, longest: usize) -> String {
    let message = format!("the answer is larger than {} MiB; the call may have happened", longest >> 20);
    let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": TOO_LARGE, "message": message } });
    format!("\n{error}\n")
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let length = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.chunk[this.ready.start..this.ready.start + length]);
                this.ready.start += length;
                return Poll::Ready(Ok(()));
            }
            if !this.said.is_empty() {
                let length = this.said.len().min(buf.remaining());
                buf.put_slice(&this.said[..length]);
                this.said.drain(..length);
                return Poll::Ready(Ok(()));
            }
            // As if it had hung up: it is ended, and started again when it is wanted.
            if this.endless.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            if this.unseen.is_empty() {
                let mut chunk = ReadBuf::new(&mut this.chunk);
                ready!(Pin::new(&mut this.read).poll_read(cx, &mut chunk))?;
                this.unseen = 0..chunk.filled().len();
                if this.unseen.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            this.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const SMALL: usize = 1 << 20;

    /// What is heard of these lines, as rmcp takes it: what is no JSON, or too long, is left out.
    async fn heard(lines: &str) -> (Vec<Value>, bool) {
        let mut bounded = Bounded::with_longest(lines.as_bytes(), SMALL);
        let endless = bounded.endless();
        let mut text = String::new();
        bounded.read_to_string(&mut text).await.unwrap();
        let lines = text.lines().filter(|line| line.len() < SMALL);
        let heard = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        (heard, endless.load(Ordering::Acquire))
    }

    fn long() -> String {
        "a, \\\"id\\\":9,".repeat(SMALL / 8)
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_becomes_the_error_of_its_call() {
        let long = long();
        for answer in [
            format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{{\"id\":8,\"text\":\"{long}\"}}}}"),
            format!("{{\"result\":{{\"id\":8,\"text\":\"{long}\"}},\"jsonrpc\":\"2.0\",\"id\":7}}"),
            format!("{{ \"id\" : 7 , \"error\" : {{ \"code\": 1, \"message\": \"{long}\"}} }}\r"),
        ] {
            let (heard, _) = heard(&format!("{{\"id\":1}}\n{answer}\n{{\"id\":2}}\n")).await;
            let ids: Vec<_> = heard.iter().map(|line| line["id"].as_u64().unwrap()).collect();
            assert_eq!(ids, [1, 7, 2]);
            assert!(heard[1]["error"]["message"].as_str().unwrap().contains("larger than 1 MiB"), "{}", heard[1]);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_left_out() {
        let long = long();
        for line in [
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{{\"text\":\"{long}\"}}}}"),
            format!("{{\"method\":\"ask\",\"params\":[\"{long}\"],\"id\":7}}"),
            format!("{{\"id\":7,\"method\":\"ask\",\"params\":[\"{long}\"]}}"),
            format!("{{\"result\":\"{long}\"}}"),
            long,
        ] {
            let (heard, endless) = heard(&format!("{line}\n{{\"id\":2}}\n")).await;
            assert_eq!((heard, endless), (vec![json!({ "id": 2 })], false));
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_ends_the_server() {
        let (heard, endless) = heard(&"x".repeat(5 * SMALL)).await;
        assert_eq!((heard, endless), (Vec::new(), true));
    }

    #[tokio::test]
    async fn what_is_short_enough_comes_as_it_is() {
        let exact = format!("{}\n", "x".repeat(SMALL - 1));
        let lines = format!("one\n\n{exact}{exact}last");
        let mut text = String::new();
        Bounded::with_longest(lines.as_bytes(), SMALL).read_to_string(&mut text).await.unwrap();
        assert!(text == lines);
    }
}
