//! Records as a stream, read ahead by a thread as far as a small buffer goes.

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
use super::decode::Form;
use super::lines::{LONGEST, Line};
use super::reader::{Broken, Reader};
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
    is_at_end: bool,
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

    /// How many records have been taken and are not done with.
    pub(crate) fn under_way(&self) -> u64 {
        self.lines().len() as u64
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
        (
            Records {
                batch,
                batches,
                reader: Some(reader),
                intake: intake.clone(),
                pulled: 0,
                last_line: 0,
                is_at_end: false,
            },
            intake,
        )
    }

    /// The number of the last line of which a record was made; 0 before the first.
    pub(crate) fn last_line(&self) -> u64 {
        self.last_line
    }

    /// Whether all of the input has been read and handed on.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end && !self.is_broken()
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
                    self.is_at_end = true;
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
    let (form, mut lines) = (Arc::new(input.form), input.reader);
    lines.begin(&form, &name).map_err(|error| told(error, &name, lines.bytes()))?;
    if let Some(records) = input.sample {
        return sample(&mut lines, records, &form, &name, matcher, sender);
    }
    loop {
        let mut batch = Vec::new();
        let ended = fill(&mut lines, &form, &mut batch);
        admit(&mut matcher, &mut batch)?;
        if !batch.is_empty() && sender.blocking_send(batch).is_err() {
            return Ok(());
        }
        match ended {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) => return Err(told(error, &name, lines.bytes())),
        }
    }
}

/// Notes what the journal knows of each record.
fn admit(matcher: &mut Option<Matcher>, batch: &mut [Line]) -> Result<()> {
    if let Some(matcher) = matcher {
        for line in batch {
            line.admission = matcher.admit(line.number, line.text.as_deref())?;
        }
    }
    Ok(())
}

fn told(broken: Broken, name: &str, bytes: u64) -> Error {
    match broken {
        Broken::Wrong(error) => error,
        Broken::Io(error) => {
            let message = format!("reading {name} failed after {bytes} bytes: {error}");
            Error::failed(message).with_source(error).with_hint("the records before that have been run")
        }
    }
}

/// Takes what is there, but waits for no more once it has something. Says whether the input is at its end.
fn fill(lines: &mut Reader, form: &Arc<Form>, batch: &mut Vec<Line>) -> Result<bool, Broken> {
    loop {
        match lines.next()? {
            None => return Ok(true),
            Some(line) => batch.push(Line { form: form.clone(), ..line }),
        }
        if batch.len() == BATCH || !lines.has_line() {
            return Ok(false);
        }
    }
}

/// Reads to the end, and passes on some of the records: each with the same chance, and the same ones each time.
fn sample(
    lines: &mut Reader,
    records: usize,
    form: &Arc<Form>,
    name: &str,
    mut matcher: Option<Matcher>,
    sender: &mpsc::Sender<Vec<Line>>,
) -> Result<()> {
    let (mut random, mut seen) = (fastrand::Rng::with_seed(SEED), 0_usize);
    let mut kept: Vec<Line> = Vec::new();
    while let Some(line) = lines.next().map_err(|error| told(error, name, lines.bytes()))? {
        // The reservoir of Waterman (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm R).
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
    let mut kept = kept.into_iter().map(|line| Line { form: form.clone(), ..line }).peekable();
    while kept.peek().is_some() {
        let mut batch: Vec<Line> = kept.by_ref().take(BATCH).collect();
        admit(&mut matcher, &mut batch)?;
        if sender.blocking_send(batch).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What a sample is drawn with.
const SEED: u64 = 0x5EED;

/// What a line says; the record is made of it by its [form](Form).
pub(crate) fn parse(line: &Line) -> Result<Value> {
    let number = line.number;
    if let Some(problem) = &line.problem {
        return Err(problem.clone());
    }
    let Some(text) = &line.text else {
        let message = format!("line {number} is longer than {} MiB", LONGEST >> 20);
        return Err(Error::invalid(message).with_hint("write one record a line"));
    };
    if let Err(error) = std::str::from_utf8(text) {
        let message = format!("line {number} is not UTF-8, from byte {} on", error.valid_up_to() + 1);
        return Err(Error::invalid(message).with_hint("write the file as UTF-8"));
    }
    let record = serde_json::from_slice(text).map_err(|error| {
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        let message = format!("line {number} is not JSON: {reason} at column {}", error.column());
        Error::invalid(message).with_hint("write one JSON object a line")
    })?;
    match lossy_int::find_lossy(text, |field| line.form.wants(field)) {
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
    fn wrong_lines_say_what_is_wrong() {
        let line = |text: &[u8]| Line { number: 7, text: Some(text.to_vec()), ..Line::default() };
        let wrong = |text: &[u8]| parse(&line(text)).unwrap_err().to_string();
        assert_eq!(wrong(b"{\"a\": }"), "line 7 is not JSON: expected value at column 7");
        assert_eq!(wrong(b"{} {}"), "line 7 is not JSON: trailing characters at column 4");
        assert_eq!(wrong(b"\"\xFF\""), "line 7 is not UTF-8, from byte 2 on");
        assert!(parse(&Line { number: 7, ..Line::default() }).is_err());
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
