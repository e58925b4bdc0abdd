//! A stream that is written down as it is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use futures_core::Stream;
use llmspell::Result;
use llmspell::model::{ModelEvent, ModelStream};
use serde_json::Value;
use tokio::time::Instant;

use super::tape::{self, Interaction, Recorded, Writer};

pub(super) struct Recorder {
    stream: ModelStream,
    writer: Arc<Writer>,
    request: Value,
    /// `None` until the stream is first polled: nothing is asked before.
    begin: Option<Instant>,
    events: Vec<(f64, ModelEvent)>,
    is_written: bool,
}

impl Recorder {
    pub(super) fn new(stream: ModelStream, request: Value, writer: Arc<Writer>) -> Self {
        Recorder { stream, writer, request, begin: None, events: Vec::new(), is_written: false }
    }

    /// Writes it down, once. A line is short, and tests are what this is for: it does not go to another thread.
    fn write(&mut self, error: Option<Recorded>, is_dropped: bool) -> Result<()> {
        let Some(begin) = self.begin else { return Ok(()) };
        if std::mem::replace(&mut self.is_written, true) {
            return Ok(());
        }
        let request = std::mem::take(&mut self.request);
        self.writer.write(&Interaction {
            key: tape::key(&request),
            request,
            events: std::mem::take(&mut self.events),
            ended_after: millis(begin),
            error,
            is_dropped,
        })
    }
}

/// To a tenth of a millisecond: nobody compares more, and people read it.
fn millis(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e4).round() / 10.0
}

impl Stream for Recorder {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let begin = *self.begin.get_or_insert_with(Instant::now);
        let item = ready!(Pin::new(&mut self.stream).poll_next(task));
        let written = match &item {
            Some(Ok(event)) => {
                self.events.push((millis(begin), event.clone()));
                match event {
                    // Readers stop here.
                    ModelEvent::Finish(_) => self.write(None, false),
                    _ => Ok(()),
                }
            }
            Some(Err(error)) => self.write(Some(Recorded::of(error)), false),
            None => self.write(None, false),
        };
        Poll::Ready(match written {
            Ok(()) => item,
            // A recording that is not written is no recording: whoever records wants to know.
            Err(error) => Some(Err(error)),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nobody is left to be told of a full disk; the tests that play this will be.
        let _ = self.write(None, true);
    }
}
