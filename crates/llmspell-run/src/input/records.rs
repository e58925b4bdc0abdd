//! Records as a stream, read ahead by a thread into a small buffer.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{self, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use llmspell::{Context, Error, Result};
use llmspell_flow::internal::lossy_int;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Input;
use super::decode::RecordDecoder;
use super::format::{MAX_RECORD, ReadError};
use super::lines::InputLine;
use super::reader::Reader;
use crate::journal::RecordMatcher;

/// The number of lines in a batch from the thread to the stream, and the number of batches that wait.
const BATCH: usize = 32;
const BATCHES: usize = 4;

/// The records of a run.
pub(crate) struct Records {
    batch: std::vec::IntoIter<InputLine>,
    batches: mpsc::Receiver<Vec<InputLine>>,
    /// The thread that reads; `None` once it has ended.
    reader: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    tracker: Arc<InputTracker>,
    pulled: usize,
    last_line: u64,
    is_at_end: bool,
}

/// The lines of records in flight, and the failure of the input.
#[derive(Default)]
pub(crate) struct InputTracker {
    /// The lines of records in flight, by index.
    lines: Mutex<HashMap<usize, LineInfo>>,
    failure: OnceLock<Error>,
}

/// The line of a record in flight.
#[derive(Clone, Copy, Default)]
pub(crate) struct LineInfo {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The number of input bytes up to its end.
    pub(crate) end: u64,
    /// How long its record took; `None` until the record ends.
    pub(crate) took: Option<Duration>,
}

impl InputTracker {
    /// Returns the line of a record that has ended, and stops tracking it.
    pub(crate) fn line(&self, index: usize) -> LineInfo {
        self.lines().remove(&index).unwrap_or_default()
    }

    /// Returns the number of records that have started and not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.lines().len() as u64
    }

    /// Records how long a record took.
    pub(crate) fn took(&self, index: usize, took: Duration) {
        if let Some(line) = self.lines().get_mut(&index) {
            line.took = Some(took);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<usize, LineInfo>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error because of which reading ended early.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }
}

impl Records {
    pub(crate) fn new(input: Input, matcher: Option<RecordMatcher>) -> (Self, Arc<InputTracker>) {
        let (sender, batches) = mpsc::channel(BATCHES);
        let tracker = Arc::<InputTracker>::default();
        let reader = Box::pin(async move {
            // A context of its own: a read that waits for a terminal must not count as orphaned work.
            Context::new().blocking(move |_| read(input, matcher, &sender)).await
        });
        let batch = Vec::new().into_iter();
        (
            Records {
                batch,
                batches,
                reader: Some(reader),
                tracker: tracker.clone(),
                pulled: 0,
                last_line: 0,
                is_at_end: false,
            },
            tracker,
        )
    }

    /// Returns the number of the last line that became a record; 0 before the first.
    pub(crate) fn last_line(&self) -> u64 {
        self.last_line
    }

    /// Whether the whole input has been read and passed on.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end && !self.is_broken()
    }

    /// Whether reading failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.tracker.failure().is_some()
    }

    /// Returns the next line without tracking it as a record.
    pub(crate) fn poll_line(&mut self, task: &mut task::Context<'_>) -> Poll<Option<InputLine>> {
        loop {
            if let Some(line) = self.batch.next() {
                return Poll::Ready(Some(line));
            }
            let reader = self.poll_reader(task);
            match self.batches.poll_recv(task) {
                Poll::Ready(Some(batch)) => self.batch = batch.into_iter(),
                // The sender is dropped, so the thread is about to end.
                Poll::Ready(None) => {
                    ready!(reader);
                    self.is_at_end = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Starts the thread, and takes its result once it has ended.
    fn poll_reader(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        if let Some(reader) = &mut self.reader {
            if let Err(error) = ready!(reader.as_mut().poll(task)) {
                let _ = self.tracker.failure.set(error);
            }
            self.reader = None;
        }
        Poll::Ready(())
    }
}

impl Stream for Records {
    type Item = InputLine;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<InputLine>> {
        let me = &mut *self;
        let line = ready!(me.poll_line(task));
        if let Some(line) = &line {
            me.last_line = line.number;
            me.tracker.lines().insert(me.pulled, LineInfo { number: line.number, end: line.end, took: None });
            me.pulled += 1;
        }
        Poll::Ready(line)
    }
}

/// Reads to the end, or until the receiver is dropped.
fn read(input: Input, mut matcher: Option<RecordMatcher>, sender: &mpsc::Sender<Vec<InputLine>>) -> Result<()> {
    let name = input.name().to_owned();
    let (decoder, mut lines) = (Arc::new(input.decoder), input.reader);
    lines.begin(&decoder, &name).map_err(|error| read_error(error, &name, lines.bytes()))?;
    if let Some(records) = input.sample {
        return sample(&mut lines, records, &decoder, &name, matcher, sender);
    }
    loop {
        let mut batch = Vec::new();
        let ended = fill(&mut lines, &decoder, &mut batch);
        match_batch(&mut matcher, &mut batch)?;
        if !batch.is_empty() && sender.blocking_send(batch).is_err() {
            return Ok(());
        }
        match ended {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) => return Err(read_error(error, &name, lines.bytes())),
        }
    }
}

/// Matches each record with the journal.
fn match_batch(matcher: &mut Option<RecordMatcher>, batch: &mut [InputLine]) -> Result<()> {
    if let Some(matcher) = matcher {
        for line in batch {
            line.matched = matcher.match_record(line.number, line.text.as_deref())?;
        }
    }
    Ok(())
}

fn read_error(broken: ReadError, name: &str, bytes: u64) -> Error {
    match broken {
        ReadError::Invalid(error) => error,
        ReadError::Io(error) => {
            let message = format!("reading {name} failed after {bytes} bytes: {error}");
            Error::failed(message).with_source(error).with_hint("the records before it have run")
        }
    }
}

/// Reads available lines, and waits only for the first one. Returns whether the input is at its end.
fn fill(lines: &mut Reader, decoder: &Arc<RecordDecoder>, batch: &mut Vec<InputLine>) -> Result<bool, ReadError> {
    loop {
        match lines.next()? {
            None => return Ok(true),
            Some(line) => batch.push(InputLine { decoder: decoder.clone(), ..line }),
        }
        if batch.len() == BATCH || !lines.has_line() {
            return Ok(false);
        }
    }
}

/// Reads to the end, and passes on a sample: each record has the same chance, and the sample is always the same.
fn sample(
    lines: &mut Reader,
    records: usize,
    decoder: &Arc<RecordDecoder>,
    name: &str,
    mut matcher: Option<RecordMatcher>,
    sender: &mpsc::Sender<Vec<InputLine>>,
) -> Result<()> {
    let (mut random, mut seen) = (fastrand::Rng::with_seed(SEED), 0_usize);
    let mut kept: Vec<InputLine> = Vec::new();
    while let Some(line) = lines.next().map_err(|error| read_error(error, name, lines.bytes()))? {
        // Waterman's reservoir (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm R).
        if kept.len() < records {
            kept.push(line);
        } else {
            let place = random.usize(..=seen);
            if let Some(kept) = kept.get_mut(place) {
                *kept = line;
            }
        }
        seen += 1;
        if seen.is_multiple_of(1024) && sender.is_closed() {
            return Ok(());
        }
    }
    kept.sort_unstable_by_key(|line| line.number);
    let mut kept = kept.into_iter().map(|line| InputLine { decoder: decoder.clone(), ..line }).peekable();
    while kept.peek().is_some() {
        let mut batch: Vec<InputLine> = kept.by_ref().take(BATCH).collect();
        match_batch(&mut matcher, &mut batch)?;
        if sender.blocking_send(batch).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The seed of samples.
const SEED: u64 = 0x5EED;

/// Parses a line; the [decoder](RecordDecoder) makes the record of it.
pub(crate) fn parse(line: &InputLine) -> Result<Value> {
    let number = line.number;
    if let Some(problem) = &line.problem {
        return Err(problem.clone());
    }
    let Some(text) = &line.text else {
        let message = format!("line {number} is longer than {} MiB", MAX_RECORD >> 20);
        return Err(Error::invalid(message).with_hint("write one record per line"));
    };
    if let Err(error) = std::str::from_utf8(text) {
        let message = format!("line {number} is not UTF-8, from byte {} on", error.valid_up_to() + 1);
        return Err(Error::invalid(message).with_hint("write the file as UTF-8"));
    }
    let record = serde_json::from_slice(text).map_err(|error| {
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        let message = format!("line {number} is not JSON: {reason} at column {}", error.column());
        Error::invalid(message).with_hint("write one JSON object per line")
    })?;
    match lossy_int::find_lossy(text, |field| line.decoder.wants(field)) {
        None => Ok(record),
        Some((at, digits)) => {
            let message = format!("line {number}: {digits} at column {} does not fit into 64 bits", at + 1);
            Err(Error::invalid(message).with_hint(lossy_int::HINT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_lines_have_a_message() {
        let line = |text: &[u8]| InputLine { number: 7, text: Some(text.to_vec()), ..InputLine::default() };
        let wrong = |text: &[u8]| parse(&line(text)).unwrap_err().to_string();
        assert_eq!(wrong(b"{\"a\": }"), "line 7 is not JSON: expected value at column 7");
        assert_eq!(wrong(b"{} {}"), "line 7 is not JSON: trailing characters at column 4");
        assert_eq!(wrong(b"\"\xFF\""), "line 7 is not UTF-8, from byte 2 on");
        assert!(parse(&InputLine { number: 7, ..InputLine::default() }).is_err());
        // Nesting is bounded: no record can overflow the stack.
        assert!(wrong("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }

    #[test]
    fn a_sample_is_fair_in_order_and_the_same_each_time() {
        let text: String = (0..1000).map(|n| format!("{n}\n")).collect();
        let drawn = |records| {
            let (sender, mut batches) = mpsc::channel(100);
            read(Input::from_reader("n", std::io::Cursor::new(text.clone())).sample(records), None, &sender).unwrap();
            drop(sender);
            let mut numbers = Vec::new();
            while let Ok(batch) = batches.try_recv() {
                numbers.extend(batch.iter().map(|line| line.number));
            }
            numbers
        };
        let some = drawn(100);
        assert!(some.is_sorted() && some.len() == 100 && some == drawn(100));
        let mean = some.iter().sum::<u64>() / 100;
        assert!((400..600).contains(&mean), "{mean}");
        assert_eq!(drawn(2000), (1..=1000).collect::<Vec<u64>>());
    }
}
