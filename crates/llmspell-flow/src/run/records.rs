//! Records as a stream, read ahead by a thread as far as a small buffer goes.

use std::collections::HashMap;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{self, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use llmspell::{Context, Error, Result};
use tokio::sync::mpsc;

use super::input::Input;
use super::lines::{LONGEST, Line, Lines};
use crate::journal::Matcher;

/// How many lines go from the thread to the stream at once, and how many such batches wait.
const BATCH: usize = 32;
const BATCHES: usize = 4;

/// The records of a run.
pub(crate) struct Records {
    batch: std::vec::IntoIter<Line>,
    batches: mpsc::Receiver<Vec<Line>>,
    /// The thread that reads; `None` once it has ended.
    reader: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    intake: Arc<Intake>,
    pulled: usize,
    last_line: u64,
}

/// What else there is to know of what was read.
#[derive(Default)]
pub(crate) struct Intake {
    /// The lines whose records are on their way, by index.
    lines: Mutex<HashMap<usize, Taken>>,
    failure: OnceLock<Error>,
}

/// A line whose record was taken.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// How many bytes of input there are up to its end.
    pub(crate) end: u64,
    /// How long its record took; `None` as long as it has not come to its end.
    pub(crate) took: Option<Duration>,
}

impl Intake {
    /// The line of a record, which is then done with.
    pub(crate) fn line(&self, index: usize) -> Taken {
        self.lines().remove(&index).unwrap_or_default()
    }

    /// Notes how long a record took.
    pub(crate) fn took(&self, index: usize, took: Duration) {
        if let Some(line) = self.lines().get_mut(&index) {
            line.took = Some(took);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<usize, Taken>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why reading ended before the end of the input.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }
}

impl Records {
    pub(crate) fn new(input: Input, matcher: Option<Matcher>) -> (Self, Arc<Intake>) {
        let (sender, batches) = mpsc::channel(BATCHES);
        let intake = Arc::<Intake>::default();
        let reader = Box::pin(async move {
            // A context of its own: that reading waits for a terminal is nobody's runaway.
            Context::new().blocking(move |_| read(input, matcher, &sender)).await
        });
        let batch = Vec::new().into_iter();
        (Records { batch, batches, reader: Some(reader), intake: intake.clone(), pulled: 0, last_line: 0 }, intake)
    }

    /// The number of the last line of which a record was made; 0 before the first.
    pub(crate) fn last_line(&self) -> u64 {
        self.last_line
    }

    /// Whether reading broke off.
    pub(crate) fn is_broken(&self) -> bool {
        self.intake.failure().is_some()
    }

    /// The next line, as if no record were made of it.
    pub(crate) fn poll_line(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Line>> {
        loop {
            if let Some(line) = self.batch.next() {
                return Poll::Ready(Some(line));
            }
            let reader = self.poll_reader(task);
            match self.batches.poll_recv(task) {
                Poll::Ready(Some(batch)) => self.batch = batch.into_iter(),
                // The sender is gone, so the thread is as good as done.
                Poll::Ready(None) => {
                    ready!(reader);
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Lets the thread start, and takes its result once it has ended.
    fn poll_reader(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        if let Some(reader) = &mut self.reader {
            if let Err(error) = ready!(reader.as_mut().poll(task)) {
                let _ = self.intake.failure.set(error);
            }
            self.reader = None;
        }
        Poll::Ready(())
    }
}

impl Stream for Records {
    type Item = Line;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Line>> {
        let me = &mut *self;
        let line = ready!(me.poll_line(task));
        if let Some(line) = &line {
            me.last_line = line.number;
            me.intake.lines().insert(me.pulled, Taken { number: line.number, end: line.end, took: None });
            me.pulled += 1;
        }
        Poll::Ready(line)
    }
}

/// Reads to the end, or until nobody listens any more.
fn read(input: Input, mut matcher: Option<Matcher>, sender: &mpsc::Sender<Vec<Line>>) -> Result<()> {
    let name = input.name().to_owned();
    let mut lines = Lines::new(input.reader, LONGEST);
    loop {
        let mut batch = Vec::new();
        let ended = fill(&mut lines, &mut batch);
        if let Some(matcher) = &mut matcher {
            for line in &mut batch {
                line.admission = matcher.admit(line.number, line.text.as_deref())?;
            }
        }
        if !batch.is_empty() && sender.blocking_send(batch).is_err() {
            return Ok(());
        }
        match ended {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) => {
                let message = format!("reading {name} failed after {} bytes: {error}", lines.bytes());
                return Err(Error::failed(message)
                    .with_source(error)
                    .with_hint("the records before that have been run"));
            }
        }
    }
}

/// Takes what is there, but waits for no more once it has something. Says whether the input is at its end.
fn fill<R: Read>(lines: &mut Lines<R>, batch: &mut Vec<Line>) -> std::io::Result<bool> {
    loop {
        match lines.next()? {
            None => return Ok(true),
            Some(line) => batch.push(line),
        }
        if batch.len() == BATCH || !lines.has_line() {
            return Ok(false);
        }
    }
}

/// The record of a line.
pub(crate) fn parse(line: &Line) -> Result<serde_json::Value> {
    let number = line.number;
    let Some(text) = &line.text else {
        let message = format!("line {number} is longer than {} MiB", LONGEST >> 20);
        return Err(Error::invalid(message).with_hint("write one record a line"));
    };
    if let Err(error) = std::str::from_utf8(text) {
        let message = format!("line {number} is not UTF-8, from byte {} on", error.valid_up_to() + 1);
        return Err(Error::invalid(message).with_hint("write the file as UTF-8"));
    }
    serde_json::from_slice(text).map_err(|error| {
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        let message = format!("line {number} is not JSON: {reason} at column {}", error.column());
        Error::invalid(message).with_hint("write one JSON object a line")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Admission;

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let wrong = |text: &[u8]| {
            parse(&Line { number: 7, end: 0, text: Some(text.to_vec()), admission: Admission::None })
                .unwrap_err()
                .to_string()
        };
        assert_eq!(wrong(b"{\"a\": }"), "line 7 is not JSON: expected value at column 7");
        assert_eq!(wrong(b"{} {}"), "line 7 is not JSON: trailing characters at column 4");
        assert_eq!(wrong(b"\"\xFF\""), "line 7 is not UTF-8, from byte 2 on");
        assert!(parse(&Line { number: 7, end: 0, text: None, admission: Admission::None }).is_err());
        // Nesting is bounded: no record can overflow the stack.
        assert!(wrong("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }
}
