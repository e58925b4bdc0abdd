//! What a server writes to its standard output, line by line, each up to a size.
//!
//! rmcp leaves out a line that is longer, and says nothing to whoever waits for it. Here an error stands in for it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::chunk::{OVERSIZED, TOO_LARGE};

/// The longest line: as much as rmcp takes of an event over HTTP.
const LONGEST: usize = 16 << 20;

/// After so much without an end nothing else is to be expected, and the connection is given up.
const MAX_SKIPPED_BYTES: usize = 1 << 30;

/// How much of the beginning and of the end of a line is looked at for what it answers.
const LINE_END_BYTES: usize = 512;

/// How long the end of a line that is too long is waited for, if it alone tells which of several calls it answers.
const END: Duration = Duration::from_secs(2);

/// The requests that have been sent and not answered.
#[derive(Clone, Default)]
struct PendingRequests(Arc<Mutex<HashSet<RequestId>>>);

impl PendingRequests {
    fn lock(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for it any more.
    fn settle(&self, id: &RequestId) {
        let mut asked = self.lock();
        if !asked.remove(id)
            && let RequestId::String(text) = id
            && let Ok(number) = text.parse()
        {
            // Some servers answer the request 7 with the id "7".
            asked.remove(&RequestId::Number(number));
        }
    }
}

/// rmcp's transport over two streams, in which answers that are too large are errors.
pub(crate) struct LimitedTransport<R: AsyncRead + Unpin, W: AsyncWrite> {
    transport: AsyncRwTransport<RoleClient, LineReader<R>, W>,
    asked: PendingRequests,
}

impl<R, W> LimitedTransport<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(output: R, input: W) -> Self {
        let asked = PendingRequests::default();
        let lines = LineReader::new(output, LONGEST, asked.clone());
        // What is passed on of a line that is too long, and its end, are more than this.
        let transport = AsyncRwTransport::new_client(lines, input).with_max_line_length(LONGEST + 1);
        LimitedTransport { transport, asked }
    }
}

impl<R, W> Transport<RoleClient> for LimitedTransport<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn name() -> Cow<'static, str> {
        AsyncRwTransport::<RoleClient, LineReader<R>, W>::name()
    }

    fn send(&mut self, message: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = Result<()>> + Send + 'static {
        match &message {
            JsonRpcMessage::Request(request) => drop(self.asked.lock().insert(request.id.clone())),
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.asked.settle(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        self.transport.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.transport.receive().await;
        match &message {
            Some(JsonRpcMessage::Response(response)) => self.asked.settle(&response.id),
            Some(JsonRpcMessage::Error(error)) => {
                if let Some(id) = &error.id {
                    self.asked.settle(id);
                }
            }
            _ => {}
        }
        message
    }

    fn close(&mut self) -> impl Future<Output = Result<()>> + Send {
        self.transport.close()
    }
}

/// The lines of a stream. Of one that is too long the first bytes are passed on, so that it is left out, and then
/// errors for those who wait for it.
struct LineReader<R> {
    output: BufReader<R>,
    longest: usize,
    asked: PendingRequests,
    /// How long the line is so far, and how it begins.
    length: usize,
    head: Vec<u8>,
    /// What is to be passed on before anything else.
    made: Vec<u8>,
    skipped: Option<SkippedLine>,
}

/// A line that is too long, while its rest goes by.
#[derive(Default)]
struct SkippedLine {
    /// How it ends so far.
    tail: Vec<u8>,
    /// Runs as long as nobody has been told.
    untold: Option<Pin<Box<Sleep>>>,
}

/// What can be told of a line from one of its edges.
enum LineOwner {
    Answers(Value),
    /// It is no answer.
    Asks,
    Nothing,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    fn new(output: R, longest: usize, asked: PendingRequests) -> Self {
        let output = BufReader::with_capacity(1 << 16, output);
        LineReader { output, longest, asked, length: 0, head: Vec::new(), made: Vec::new(), skipped: None }
    }

    /// The line has become too long.
    fn skip(&mut self) {
        // Ends the line for rmcp.
        self.made.push(b'\n');
        let mut skipped = SkippedLine { tail: self.head.clone(), untold: None };
        match beginning(&self.head) {
            LineOwner::Answers(id) => self.tell(id, true),
            LineOwner::Asks => {}
            LineOwner::Nothing if self.asked.lock().len() > 1 => skipped.untold = Some(Box::pin(sleep(END))),
            LineOwner::Nothing => self.tell_all(),
        }
        self.skipped = Some(skipped);
    }

    fn tell(&mut self, id: Value, is_certain: bool) {
        let size = self.longest >> 20;
        let message = match is_certain {
            true => format!("the answer is larger than {size} MiB"),
            false => format!("an answer is larger than {size} MiB, and may be the one to this call"),
        };
        let error = json!({ "code": TOO_LARGE, "message": message, "data": { OVERSIZED: is_certain } });
        self.made.extend_from_slice(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().as_bytes());
        self.made.push(b'\n');
    }

    /// It may be for anybody.
    fn tell_all(&mut self) {
        let all: Vec<_> = self.asked.lock().iter().map(|id| json!(id)).collect();
        let is_certain = all.len() == 1;
        all.into_iter().for_each(|id| self.tell(id, is_certain));
    }

    /// Lets the rest of a line that is too long go by, until there is something to tell or the line has ended.
    fn poll_skip(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(skipped) = &mut self.skipped else { return Poll::Ready(Ok(())) };
        let Poll::Ready(filled) = Pin::new(&mut self.output).poll_fill_buf(cx) else {
            if let Some(untold) = &mut skipped.untold {
                ready!(untold.as_mut().poll(cx));
                skipped.untold = None;
                self.tell_all();
                return Poll::Ready(Ok(()));
            }
            return Poll::Pending;
        };
        let bytes = filled?;
        let (taken, has_ended) = upto_end(bytes);
        skipped.tail.extend_from_slice(&bytes[taken.saturating_sub(LINE_END_BYTES)..taken]);
        let surplus = skipped.tail.len().saturating_sub(LINE_END_BYTES);
        skipped.tail.drain(..surplus);
        let is_over = has_ended || bytes.is_empty();
        Pin::new(&mut self.output).consume(taken);
        self.length = self.length.saturating_add(taken);
        if self.length > MAX_SKIPPED_BYTES {
            return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "a line without an end")));
        }
        // A line without an end is not waited for because it goes on and on.
        let is_late = skipped.untold.as_mut().is_some_and(|untold| untold.as_mut().poll(cx).is_ready());
        if is_over || is_late {
            let is_untold = skipped.untold.take().is_some();
            let end = if has_ended { ending(&skipped.tail) } else { None };
            if is_over {
                self.skipped = None;
                self.begin();
            }
            match end {
                Some(id) if is_untold => self.tell(id, true),
                None if is_untold => self.tell_all(),
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What comes is another line.
    fn begin(&mut self) {
        self.length = 0;
        self.head.clear();
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for LineReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let lines = self.get_mut();
        loop {
            if !lines.made.is_empty() {
                let taken = lines.made.len().min(room.remaining());
                room.put_slice(&lines.made[..taken]);
                lines.made.drain(..taken);
                return Poll::Ready(Ok(()));
            }
            if lines.skipped.is_some() {
                ready!(lines.poll_skip(cx))?;
                continue;
            }
            let bytes = ready!(Pin::new(&mut lines.output).poll_fill_buf(cx))?;
            // As much as may come of one line, and one byte more.
            let most = room.remaining().min(lines.longest + 1 - lines.length);
            let bytes = &bytes[..bytes.len().min(most)];
            let (taken, has_ended) = upto_end(bytes);
            room.put_slice(&bytes[..taken]);
            let edge = LINE_END_BYTES.saturating_sub(lines.head.len()).min(taken);
            lines.head.extend_from_slice(&bytes[..edge]);
            Pin::new(&mut lines.output).consume(taken);
            lines.length += taken;
            if has_ended {
                lines.begin();
            } else if lines.length > lines.longest {
                lines.skip();
            }
            return Poll::Ready(Ok(()));
        }
    }
}

/// How much of this belongs to the line, and whether it ends there.
fn upto_end(bytes: &[u8]) -> (usize, bool) {
    // Much faster than to look for the place, where there is none.
    match bytes.contains(&b'\n') {
        true => (bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1), true),
        false => (bytes.len(), false),
    }
}

/// What a message is, if it says so before anything large: `{"jsonrpc":"2.0","id":7,"result":{`.
fn beginning(head: &[u8]) -> LineOwner {
    let head = String::from_utf8_lossy(head);
    let members = head.trim_start_matches('\u{feff}').trim_start().strip_prefix('{').unwrap_or_default();
    let small = members.split(['{', '[']).next().unwrap_or_default();
    let Some((small, _)) = small.rsplit_once(',') else { return LineOwner::Nothing };
    match object(small) {
        Some(members) if members.contains_key("method") => LineOwner::Asks,
        Some(mut members) => id(&mut members).map_or(LineOwner::Nothing, LineOwner::Answers),
        None => LineOwner::Nothing,
    }
}

/// What a message answers, if it says so behind everything large: `},"jsonrpc":"2.0","id":7}`.
fn ending(tail: &[u8]) -> Option<Value> {
    let tail = String::from_utf8_lossy(tail);
    let members = tail.trim_end().strip_suffix('}')?;
    let (_, small) = members.rsplit_once(['}', ']'])?;
    id(&mut object(small.trim_start().strip_prefix(',')?)?)
}

fn object(members: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(&format!("{{{members}}}")).ok()
}

fn id(members: &mut Map<String, Value>) -> Option<Value> {
    members.remove("id").filter(|id| id.is_number() || id.is_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What comes of these lines, without those that are passed on only to be left out.
    async fn told(asked: &[i64], text: &str) -> Vec<String> {
        let waiting = PendingRequests::default();
        waiting.lock().extend(asked.iter().map(|id| RequestId::Number(*id)));
        let mut heard = String::new();
        LineReader::new(text.as_bytes(), 1024, waiting).read_to_string(&mut heard).await.unwrap();
        heard.lines().filter(|line| line.len() <= 1024).map(String::from).collect()
    }

    fn id_of(line: &str) -> Value {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["error"]["code"], TOO_LARGE);
        line["id"].clone()
    }

    #[tokio::test]
    async fn an_answer_is_known_by_its_beginning_or_its_end() {
        let much = "}{".repeat(1024);
        for line in [
            format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":["{much}"]}}}}"#),
            format!(r#" {{ "id" : 7, "jsonrpc": "2.0", "result" : {{"content":["{much}"]}}}} "#),
            format!(r#"{{"result":{{"content":["{much}"]}},"jsonrpc":"2.0","id":7}}"#),
            format!("{{\"result\": {{\"content\":[\"{much}\"]}} , \"id\": 7, \"jsonrpc\":\"2.0\" }}\r"),
        ] {
            let told = told(&[6, 7], &format!("{line}\nnext\n")).await;
            assert_eq!((told.len(), id_of(&told[0]), told[1].as_str()), (2, json!(7), "next"), "{told:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_has_asked_for_fails_nothing() {
        let line = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"t":"{}"}}}}"#, "x".repeat(2048));
        assert_eq!(told(&[6, 7], &format!("{line}\nnext\n")).await, ["next"]);
    }

    #[tokio::test]
    async fn what_cannot_be_known_fails_all_who_wait() {
        let mut ids: Vec<_> = told(&[6, 7], &"x".repeat(5000)).await.iter().map(|line| id_of(line)).collect();
        ids.sort_by_key(Value::as_i64);
        assert_eq!(ids, [6, 7]);
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_it_may() {
        let text = format!("{}\n{}\n", "x".repeat(1024), "y".repeat(1023));
        assert_eq!(told(&[7], &text).await.len(), 2);
        assert_eq!(id_of(&told(&[7], &format!("{}\n", "x".repeat(1025))).await[0]), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_an_end_is_not_waited_for() {
        for (asked, head) in [(vec![6, 7], "{\"result\":"), (vec![6, 7], "{\"id\":7,\"result\":"), (vec![7], "")] {
            let (mut server, output) = tokio::io::duplex(1 << 14);
            let waiting = PendingRequests::default();
            waiting.lock().extend(asked.iter().map(|id| RequestId::Number(*id)));
            let mut lines = LineReader::new(output, 1024, waiting);
            tokio::io::AsyncWriteExt::write_all(&mut server, format!("{head}{}", "x".repeat(2048)).as_bytes())
                .await
                .unwrap();
            let begun = tokio::time::Instant::now();
            let (mut heard, mut bytes) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"}\n") {
                let read = lines.read(&mut bytes).await.unwrap();
                heard.extend_from_slice(&bytes[..read]);
            }
            assert_eq!(begun.elapsed() >= END, head == "{\"result\":", "{head}");
        }
    }
}
