//! The thread that writes an output, so that a slow disk or pipe blocks only the output.

use std::io;
use std::pin::Pin;

use llmspell::{Context, Error, Result};
use tokio::sync::mpsc;

use super::{Output, OutputStats};

/// The maximum number of lines that wait to be written; beyond it, the run waits.
const WAITING: usize = 256;

/// The handle of the thread that writes an output.
pub(crate) struct Writer {
    lines: mpsc::Sender<WriterMessage>,
    thread: Pin<Box<dyn Future<Output = Result<WriteEnd>> + Send>>,
    has_ended: bool,
}

enum WriterMessage {
    Line(Vec<u8>),
    /// The last message: ends the output.
    Finish {
        complete: bool,
    },
}

/// How writing ended.
pub(crate) enum WriteEnd {
    Written(OutputStats),
    /// The reader of the pipe closed it.
    OutputClosed,
    /// Writing failed; the lines that are left, if they are known.
    Failed(Error, Option<OutputStats>),
}

impl WriteEnd {
    /// The thread itself was lost.
    fn lost(error: Error) -> Self {
        WriteEnd::Failed(error, None)
    }
}

impl Writer {
    pub(crate) fn new(output: Output) -> Self {
        let (lines, messages) = mpsc::channel(WAITING);
        let thread = Box::pin(async move { Context::new().blocking(move |_| Ok(write(output, messages))).await });
        Writer { lines, thread, has_ended: false }
    }

    /// Sends a line to the thread. An error means that the thread has ended, and how.
    pub(crate) async fn write(&mut self, line: Vec<u8>) -> std::result::Result<(), WriteEnd> {
        tokio::select! {
            biased;
            // Polled first, because this also starts the thread.
            ended = &mut self.thread => {
                self.has_ended = true;
                Err(ended.unwrap_or_else(WriteEnd::lost))
            }
            // The thread holds the receiver until it ends.
            _ = self.lines.send(WriterMessage::Line(line)) => Ok(()),
        }
    }

    /// Waits until the thread has ended, which it does by itself only if it cannot write.
    pub(crate) async fn ended(&mut self) -> WriteEnd {
        let ended = (&mut self.thread).await;
        self.has_ended = true;
        ended.unwrap_or_else(WriteEnd::lost)
    }

    /// Whether the end has been reported; the thread must not be polled again.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Writes all waiting lines, and ends the output.
    pub(crate) async fn finish(mut self, complete: bool) -> WriteEnd {
        tokio::select! {
            biased;
            ended = &mut self.thread => return ended.unwrap_or_else(WriteEnd::lost),
            _ = self.lines.send(WriterMessage::Finish { complete }) => {}
        }
        self.ended().await
    }
}

fn write(mut output: Output, mut messages: mpsc::Receiver<WriterMessage>) -> WriteEnd {
    let result = write_all(&mut output, &mut messages).and_then(|complete| output.finish(complete));
    match result {
        Ok(written) => WriteEnd::Written(written),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => WriteEnd::OutputClosed,
        Err(error) => failed(error, output.salvage()),
    }
}

/// Returns the error, with a remedy and the lines that are left.
fn failed(error: io::Error, left: io::Result<Option<OutputStats>>) -> WriteEnd {
    let why = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on the disk",
        io::ErrorKind::FileTooLarge => "allow larger files (ulimit -f), or take fewer records",
        _ => "check the disk or pipe of the output",
    };
    let mut message = format!("writing the output failed: {error}");
    match &left {
        Ok(Some(OutputStats { path: Some(path), lines })) => {
            message = format!("{message}; {} keeps the first {lines} whole lines", path.display());
        }
        Ok(_) => {}
        Err(_) => message = format!("{message}; the file may end within a line"),
    }
    WriteEnd::Failed(Error::failed(message).with_hint(why).with_source(error), left.ok().flatten())
}

/// Writes until the last message; returns whether the output is complete. It is incomplete if the run was dropped.
fn write_all(output: &mut Output, messages: &mut mpsc::Receiver<WriterMessage>) -> io::Result<bool> {
    let mut batch = Vec::new();
    while messages.blocking_recv_many(&mut batch, WAITING) > 0 {
        for message in batch.drain(..) {
            match message {
                WriterMessage::Line(line) => output.write(&line)?,
                WriterMessage::Finish { complete } => return Ok(complete),
            }
        }
        if messages.is_empty() {
            output.flush()?;
        }
    }
    Ok(false)
}
