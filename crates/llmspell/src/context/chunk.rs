//! Partial output: what a step shows before it is done.

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
use super::node::Facet;
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::runtime::executor;

/// One piece of partial output.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Chunk {
    /// The step that showed it.
    pub path: Path,
    /// The index of the stream item it belongs to, if there is one.
    pub item: Option<usize>,
    /// The attempt that showed it, from 1.
    pub attempt: u32,
    /// The piece.
    pub data: ChunkData,
}

/// What a [`Chunk`] brings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChunkData {
    /// A piece of output, such as a token.
    Output(Value),
    /// What this step, and those inside of it, have shown so far no longer counts: it failed, and a new attempt
    /// begins, or a [fallback](crate::Step::fallback).
    Restarted,
}

/// The receiving end of partial output; a `Stream` of [`Chunk`]s. Made by [`Context::with_chunks`].
#[derive(Debug)]
pub struct Chunks(Receiver<Chunk>);

impl Chunks {
    /// The next chunk; `None` once every context that could show one is gone, the one it was made with
    /// included.
    pub async fn next(&mut self) -> Option<Chunk> {
        self.0.recv().await
    }

    /// Takes no more chunks. Those that wait can still be read, and then they have ended, whoever has a context still:
    /// work that outlives its caller, say on a thread of its own, holds no reader up. What is
    /// [emitted](Context::emit) from here on is seen by nobody, and is no error.
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
    /// assert!(chunks.next().await.is_none()); // although `cx` is still here
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn close(&mut self) {
        self.0.close();
    }

    /// Whether no more chunks can come.
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

/// Somebody who looks at chunks on their way to the reader, and holds nothing up.
pub(crate) trait ChunkObserver: Send + Sync {
    fn see(&self, chunk: &Chunk);
}

/// A context made by [`Context::noting_output`].
pub(crate) struct OutputTracking {
    pub(crate) cx: Context,
    shown: Arc<AtomicBool>,
}

impl OutputTracking {
    /// Whether anything was shown.
    pub(crate) fn any(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }
}

/// Work that waits for its reader and not the other way round.
struct ReaderWait<'a>(&'a Context);

impl<'a> ReaderWait<'a> {
    fn new(cx: &'a Context) -> Self {
        cx.pulses().for_each(Heartbeat::pause);
        ReaderWait(cx)
    }
}

impl Drop for ReaderWait<'_> {
    fn drop(&mut self) {
        self.0.pulses().for_each(Heartbeat::resume);
    }
}

impl Context {
    /// A context whose steps can show partial output, and where it arrives.
    ///
    /// At most `capacity` chunks wait to be read; after that, [`Context::emit`] waits, so read while the work
    /// runs and not after it. The chunks end when the last context that could show one is dropped: give the
    /// context away with the work, or drop it, or the reader waits for ever. Dropping [`Chunks`] is fine: the
    /// work goes on unseen.
    ///
    /// ```
    /// use llmspell::{ChunkData, Context, Step, step};
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
        (self.child(Facet::Chunks(sender)), Chunks(receiver))
    }

    /// Shows a piece of partial output, and waits while the reader is behind.
    ///
    /// This is also what decides a [first-output race](crate::Race::first_output) and what first-output
    /// and idle timeouts listen to, with or without a reader.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if another contender of a first-output race was faster: nothing was shown, and
    /// the step should end.
    pub async fn emit(&self, data: impl Into<Value>) -> Result<()> {
        // Without a reader nothing else in here ever waits.
        executor::yield_if_due().await;
        // Innermost gate first: output that loses any race around it is seen by nobody.
        for node in self.chain() {
            if let Facet::Contender(contender) = &node.facet
                && !contender.claim()
            {
                return Err(Error::new(ErrorKind::Cancelled, "another contender was the first to show output"));
            }
        }
        self.beat(true);
        // A reader that is behind is no fault of the work: the idle clocks stand still meanwhile.
        let _waiting = ReaderWait::new(self);
        self.show(|| ChunkData::Output(data.into())).await;
        Ok(())
    }

    /// Says that the work is still alive although it has nothing to show. Resets idle timeouts.
    pub fn heartbeat(&self) {
        self.beat(false);
    }

    /// Tells idle timeouts of a sign of life; of output if it is that.
    pub(crate) fn beat(&self, output: bool) {
        self.pulses().for_each(|pulse| pulse.beat(output));
    }

    fn pulses(&self) -> impl Iterator<Item = &Heartbeat> {
        self.chain().filter_map(|node| match &node.facet {
            Facet::Heartbeat(pulse) => Some(pulse.as_ref()),
            _ => None,
        })
    }

    /// Sends to the nearest reader, if there is one, and shows it to those on the way; only then is there anything
    /// to make.
    pub(crate) async fn show(&self, data: impl FnOnce() -> ChunkData) {
        let (mut sender, mut is_watched) = (None, false);
        for node in self.chain() {
            match &node.facet {
                Facet::ChunkObserver(_) => is_watched = true,
                Facet::Chunks(reader) => {
                    sender = Some(reader);
                    break;
                }
                _ => {}
            }
        }
        if sender.is_none() && !is_watched {
            return;
        }
        let mut data = data();
        if let ChunkData::Output(output) = &mut data {
            self.scrub_value(output);
        }
        let chunk = Chunk { path: self.path(), item: self.item(), attempt: self.attempt(), data };
        for node in self.chain().take_while(|node| !matches!(node.facet, Facet::Chunks(_))) {
            match &node.facet {
                Facet::ChunkObserver(onlooker) => onlooker.see(&chunk),
                Facet::Shown(shown) if matches!(chunk.data, ChunkData::Output(_)) => {
                    shown.store(true, Ordering::Relaxed);
                }
                Facet::Retries(retries) if sender.is_some() && matches!(chunk.data, ChunkData::Output(_)) => {
                    retries.show();
                }
                _ => {}
            }
        }
        if let Some(sender) = sender {
            // A reader that has gone away does not concern the work.
            let _ = sender.send(chunk).await;
        }
    }

    /// Says that what was shown of this work no longer counts: to its reader if there is anything that it has `seen`,
    /// and in any case to those on the way, who may have looked at it without a reader.
    pub(crate) async fn restart(&self, seen: bool) {
        if seen {
            return self.show(|| ChunkData::Restarted).await;
        }
        let on_the_way = || self.chain().take_while(|node| !matches!(node.facet, Facet::Chunks(_)));
        if on_the_way().any(|node| matches!(node.facet, Facet::ChunkObserver(_))) {
            let (path, item, attempt) = (self.path(), self.item(), self.attempt());
            let chunk = Chunk { path, item, attempt, data: ChunkData::Restarted };
            for node in on_the_way() {
                if let Facet::ChunkObserver(onlooker) = &node.facet {
                    onlooker.see(&chunk);
                }
            }
        }
    }

    /// A context that remembers whether anything was shown below it; `None` if nobody would see it.
    pub(crate) fn noting_output(&self) -> Option<OutputTracking> {
        let is_watched = self.chain().any(|node| matches!(node.facet, Facet::Chunks(_) | Facet::ChunkObserver(_)));
        is_watched.then(|| {
            let shown = Arc::<AtomicBool>::default();
            OutputTracking { cx: self.child(Facet::Shown(shown.clone())), shown }
        })
    }

    /// A context whose partial output is also shown to `onlooker`.
    pub(crate) fn watched_by(&self, onlooker: Arc<dyn ChunkObserver>) -> Context {
        self.child(Facet::ChunkObserver(onlooker))
    }
}
