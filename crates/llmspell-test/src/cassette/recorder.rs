//! The recording of a stream while it is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use futures_core::Stream;
use llmspell::Result;
use llmspell::model::{ModelEvent, ModelStream};
use serde_json::Value;
use tokio::time::Instant;

use super::tape::{self, Interaction, RecordedError, Writer};

/// A stream that records another one.
pub(super) struct Recorder {
    stream: ModelStream,
    writer: Arc<Writer>,
    request: Value,
    /// `None` until the first poll: no request is sent before.
    start: Option<Instant>,
    events: Vec<(f64, ModelEvent)>,
    is_written: bool,
}

impl Recorder {
    pub(super) fn new(stream: ModelStream, request: Value, writer: Arc<Writer>) -> Self {
        Recorder { stream, writer, request, start: None, events: Vec::new(), is_written: false }
    }

    /// Writes the recording, at most once. The write blocks: a line is short, and cassettes are for tests.
    fn write(&mut self, error: Option<RecordedError>, is_dropped: bool) -> Result<()> {
        let Some(start) = self.start else { return Ok(()) };
        if std::mem::replace(&mut self.is_written, true) {
            return Ok(());
        }
        let request = std::mem::take(&mut self.request);
        self.writer.write(&Interaction {
            key: tape::key(&request),
            request,
            events: std::mem::take(&mut self.events),
            ended_after: millis(start),
            error,
            is_dropped,
        })
    }
}

/// Returns the elapsed milliseconds, rounded to a tenth: more digits would not help readers of the file.
fn millis(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e4).round() / 10.0
}

impl Stream for Recorder {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let start = *self.start.get_or_insert_with(Instant::now);
        let item = ready!(Pin::new(&mut self.stream).poll_next(task));
        let written = match &item {
            Some(Ok(event)) => {
                self.events.push((millis(start), event.clone()));
                match event {
                    // Consumers stop polling here.
                    ModelEvent::Finish(_) => self.write(None, false),
                    _ => Ok(()),
                }
            }
            Some(Err(error)) => self.write(Some(RecordedError::of(error)), false),
            None => self.write(None, false),
        };
        Poll::Ready(match written {
            Ok(()) => item,
            // A recording that cannot be written is an error of the stream.
            Err(error) => Some(Err(error)),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A write error, such as a full disk, cannot be returned here. The replay will report the missing recording.
        let _ = self.write(None, true);
    }
}
