//! Records as a stream, read ahead by a thread as far as a small buffer goes.

use std::collections::HashMap;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{self, Poll, ready};

use futures_core::Stream;
use llmspell::{Context, Error, Result};
use tokio::sync::mpsc;

use super::input::Input;
use super::lines::{LONGEST, Line, Lines};

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
}

/// What else there is to know of what was read.
#[derive(Default)]
pub(crate) struct Intake {
    /// The numbers and the ends of the lines whose records are on their way, by index.
    lines: Mutex<HashMap<usize, (u64, u64)>>,
    failure: OnceLock<Error>,
}

impl Intake {
    /// The number and the end of the line of a record, which is then done with.
    pub(crate) fn line(&self, index: usize) -> (u64, u64) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(&index).unwrap_or_default()
    }

    /// Why reading ended before the end of the input.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }
}

impl Records {
    pub(crate) fn new(input: Input) -> (Self, Arc<Intake>) {
        let (sender, batches) = mpsc::channel(BATCHES);
        let intake = Arc::<Intake>::default();
        let reader = Box::pin(async move {
            // A context of its own: that reading waits for a terminal is nobody's runaway.
            Context::new().blocking(move |_| read(input, &sender)).await
        });
        let batch = Vec::new().into_iter();
        (Records { batch, batches, reader: Some(reader), intake: intake.clone(), pulled: 0 }, intake)
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
        loop {
            if let Some(line) = me.batch.next() {
                let mut lines = me.intake.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.insert(me.pulled, (line.number, line.end));
                drop(lines);
                me.pulled += 1;
                return Poll::Ready(Some(line));
            }
            let reader = me.poll_reader(task);
            match me.batches.poll_recv(task) {
                Poll::Ready(Some(batch)) => me.batch = batch.into_iter(),
                // The sender is gone, so the thread is as good as done.
                Poll::Ready(None) => {
                    ready!(reader);
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Reads to the end, or until nobody listens any more.
fn read(input: Input, sender: &mpsc::Sender<Vec<Line>>) -> Result<()> {
    let name = input.name().to_owned();
    let mut lines = Lines::new(input.reader, LONGEST);
    loop {
        let mut batch = Vec::new();
        let ended = fill(&mut lines, &mut batch);
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

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let wrong =
            |text: &[u8]| parse(&Line { number: 7, end: 0, text: Some(text.to_vec()) }).unwrap_err().to_string();
        assert_eq!(wrong(b"{\"a\": }"), "line 7 is not JSON: expected value at column 7");
        assert_eq!(wrong(b"{} {}"), "line 7 is not JSON: trailing characters at column 4");
        assert_eq!(wrong(b"\"\xFF\""), "line 7 is not UTF-8, from byte 2 on");
        assert!(parse(&Line { number: 7, end: 0, text: None }).is_err());
        // Nesting is bounded: no record can overflow the stack.
        assert!(wrong("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }
}
