//! Partial output: what a step emits before it returns.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};

use crate::runtime::channel::{Receiver, Sender, channel};
use futures_core::Stream;
use serde::Serialize;
use serde_json::Value;

use super::Context;
use super::liveness::Heartbeat;
use super::node::NodeKind;
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::runtime::timing::yield_if_due;

/// One piece of partial output.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Chunk {
    /// The step that emitted the piece.
    pub path: Path,
    /// The index of the stream item that the piece belongs to, if there is one.
    pub item: Option<usize>,
    /// The attempt that emitted it, from 1.
    pub attempt: u32,
    /// The content.
    pub data: ChunkData,
}

/// The content of a [`Chunk`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChunkData {
    /// A piece of output, such as a token.
    Output(Value),
    /// The earlier output of this step and of the steps inside it no longer counts, because it failed and a new
    /// attempt or a [fallback](crate::Step::fallback) begins.
    Restarted,
}

/// The receiver of partial output, a `Stream` of [`Chunk`]s; made by [`Context::with_chunks`].
#[derive(Debug)]
pub struct Chunks(Receiver<Chunk>);

impl Chunks {
    /// Returns the next chunk, or `None` once every context that can emit one is dropped, including the one
    /// made with this receiver.
    pub async fn next(&mut self) -> Option<Chunk> {
        self.0.recv().await
    }

    /// Closes the receiver: chunks that wait can still be read, then the stream ends, even if a context still
    /// exists.
    ///
    /// Work that outlives its caller, for example on a thread, therefore never blocks the reader. Output
    /// [emitted](Context::emit) after this call is discarded without an error.
    ///
    /// ```
    /// use llmspell::Context;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let (cx, mut chunks) = Context::new().with_chunks(8);
    /// cx.emit("early").await?;
    /// chunks.close();
    /// cx.emit("late").await?;
    /// assert!(chunks.next().await.is_some());
    /// assert!(chunks.next().await.is_none()); // although `cx` still exists
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn close(&mut self) {
        self.0.close();
    }

    /// Returns whether no more chunks can arrive.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Stream for Chunks {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Chunk>> {
        self.0.poll_recv(task)
    }
}

pub(crate) type ChunkSender = Sender<Chunk>;

/// An observer of chunks on their way to the reader. It must not block.
pub(crate) trait ChunkObserver: Send + Sync {
    fn on_chunk(&self, chunk: &Chunk);
}

/// A context made by [`Context::with_output_tracking`].
pub(crate) struct OutputTracking {
    pub(crate) cx: Context,
    shown: Arc<AtomicBool>,
}

impl OutputTracking {
    /// Returns whether any output was emitted.
    pub(crate) fn has_output(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }
}

/// A guard of work that waits for its reader. It pauses the idle timeouts above.
struct ReaderWait<'a>(&'a Context);

impl<'a> ReaderWait<'a> {
    fn new(cx: &'a Context) -> Self {
        cx.heartbeats().for_each(Heartbeat::pause);
        ReaderWait(cx)
    }
}

impl Drop for ReaderWait<'_> {
    fn drop(&mut self) {
        self.0.heartbeats().for_each(Heartbeat::resume);
    }
}

impl Context {
    /// Returns a context whose steps can emit partial output, and the receiver of that output.
    ///
    /// At most `capacity` chunks wait to be read; after that [`Context::emit`] waits, so read while the work
    /// runs. The chunks end when the last context that can emit one is dropped: move the context into the work
    /// or drop it, or the reader waits for ever. Dropping [`Chunks`] is allowed: the work continues without a
    /// reader.
    ///
    /// ```
    /// use llmspell::{Context, Step, step};
    /// use llmspell::context::ChunkData;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let answer = step(|question: String, cx: Context| async move {
    ///     for word in ["it", "depends"] {
    ///         cx.emit(word).await?;
    ///     }
    ///     Ok(question.len())
    /// });
    /// let (cx, mut chunks) = Context::new().with_chunks(8);
    /// let run = async move { answer.run("why?".into(), &cx).await }; // owns the context
    /// let read = async {
    ///     let mut words = Vec::new();
    ///     while let Some(chunk) = chunks.next().await {
    ///         if let ChunkData::Output(word) = chunk.data {
    ///             words.push(word);
    ///         }
    ///     }
    ///     words
    /// };
    /// let (length, words) = tokio::join!(run, read);
    /// assert_eq!((length?, words.len()), (4, 2));
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn with_chunks(&self, capacity: usize) -> (Context, Chunks) {
        let (sender, receiver) = channel(capacity);
        (self.child(NodeKind::Chunks(sender)), Chunks(receiver))
    }

    /// Emits a piece of partial output, and waits while the reader is behind.
    ///
    /// Output also decides a [first-output race](crate::pattern::race::Race::first_output) and resets first-output and idle
    /// timeouts, with or without a reader.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if another contender of a first-output race was faster. Nothing was emitted,
    /// and the step should return.
    pub async fn emit(&self, data: impl Into<Value>) -> Result<()> {
        // Without a reader, no other `await` in this function ever waits.
        yield_if_due().await;
        // The innermost race is claimed first: output that loses any race around it must not be seen.
        for node in self.chain() {
            if let NodeKind::Contender(contender) = &node.kind
                && !contender.claim()
            {
                return Err(Error::new(ErrorKind::Cancelled, "another contender was the first to emit output"));
            }
        }
        self.mark_alive(true);
        // A slow reader is not the fault of the work, so the idle timeouts pause meanwhile.
        let _waiting = ReaderWait::new(self);
        self.send_chunk(|| ChunkData::Output(data.into())).await;
        Ok(())
    }

    /// Reports a sign of life without output. Resets idle timeouts.
    pub fn heartbeat(&self) {
        self.mark_alive(false);
    }

    /// Resets the idle timeouts above; `output` says whether the sign of life is output.
    pub(crate) fn mark_alive(&self, output: bool) {
        self.heartbeats().for_each(|heartbeat| heartbeat.mark_alive(output));
    }

    fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        self.chain().filter_map(|node| match &node.kind {
            NodeKind::Heartbeat(heartbeat) => Some(heartbeat.as_ref()),
            _ => None,
        })
    }

    /// Sends a chunk to the nearest reader and to the observers below it. Calls `data` only if there is one of
    /// them.
    pub(crate) async fn send_chunk(&self, data: impl FnOnce() -> ChunkData) {
        let (mut sender, mut is_observed) = (None, false);
        for node in self.chain() {
            match &node.kind {
                NodeKind::ChunkObserver(_) => is_observed = true,
                NodeKind::Chunks(reader) => {
                    sender = Some(reader);
                    break;
                }
                _ => {}
            }
        }
        if sender.is_none() && !is_observed {
            return;
        }
        let mut data = data();
        if let ChunkData::Output(output) = &mut data {
            self.redact_value(output);
        }
        let chunk = Chunk { path: self.path(), item: self.item(), attempt: self.attempt(), data };
        for node in self.chain().take_while(|node| !matches!(node.kind, NodeKind::Chunks(_))) {
            match &node.kind {
                NodeKind::ChunkObserver(observer) => observer.on_chunk(&chunk),
                NodeKind::OutputShown(shown) if matches!(chunk.data, ChunkData::Output(_)) => {
                    shown.store(true, Ordering::Relaxed);
                }
                NodeKind::Retries(retries) if sender.is_some() && matches!(chunk.data, ChunkData::Output(_)) => {
                    retries.mark_output_seen();
                }
                _ => {}
            }
        }
        if let Some(sender) = sender {
            // A dropped reader is not an error of the work.
            let _ = sender.send(chunk).await;
        }
    }

    /// Announces that the earlier output of this work no longer counts.
    ///
    /// The reader is told if it has seen output (`seen`). Observers on the way are told in any case, because
    /// they may have seen output without a reader.
    pub(crate) async fn send_restarted(&self, seen: bool) {
        if seen {
            return self.send_chunk(|| ChunkData::Restarted).await;
        }
        let on_the_way = || self.chain().take_while(|node| !matches!(node.kind, NodeKind::Chunks(_)));
        if on_the_way().any(|node| matches!(node.kind, NodeKind::ChunkObserver(_))) {
            let (path, item, attempt) = (self.path(), self.item(), self.attempt());
            let chunk = Chunk { path, item, attempt, data: ChunkData::Restarted };
            for node in on_the_way() {
                if let NodeKind::ChunkObserver(observer) = &node.kind {
                    observer.on_chunk(&chunk);
                }
            }
        }
    }

    /// Returns a context that tracks whether output is emitted below it; `None` without a reader or observer.
    pub(crate) fn with_output_tracking(&self) -> Option<OutputTracking> {
        let is_observed =
            self.chain().any(|node| matches!(node.kind, NodeKind::Chunks(_) | NodeKind::ChunkObserver(_)));
        is_observed.then(|| {
            let shown = Arc::<AtomicBool>::default();
            OutputTracking { cx: self.child(NodeKind::OutputShown(shown.clone())), shown }
        })
    }

    /// Returns a context whose partial output is also passed to `observer`.
    pub(crate) fn with_chunk_observer(&self, observer: Arc<dyn ChunkObserver>) -> Context {
        self.child(NodeKind::ChunkObserver(observer))
    }
}
