//! Reads lines, whatever their length and however the reader splits them.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use llmspell::Error;

use super::decode::RecordDecoder;
use crate::journal::Match;

/// A line of input without its end; in other formats, a row or a file.
#[derive(Default)]
pub(crate) struct InputLine {
    /// The number of the line, from 1; for files, the number of the file.
    pub(crate) number: u64,
    /// The number of input bytes up to its end.
    pub(crate) end: u64,
    /// Its content as JSON; `None` if it was too long to be kept.
    pub(crate) text: Option<Vec<u8>>,
    /// The reason why it has no record; `text` is then the raw input.
    pub(crate) problem: Option<Error>,
    /// The decoder of its record.
    pub(crate) decoder: Arc<RecordDecoder>,
    /// The match of its record in the journal.
    pub(crate) matched: Match,
}

/// A reader of lines; blank lines are skipped but counted.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
    bytes: u64,
    longest: usize,
    /// Lines that have been read ahead.
    ahead: VecDeque<InputLine>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R, longest: usize) -> Self {
        Lines {
            reader: BufReader::with_capacity(1 << 16, reader),
            number: 0,
            bytes: 0,
            longest,
            ahead: VecDeque::new(),
        }
    }

    /// Returns the number of bytes read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the next line is available without waiting for more input.
    pub(crate) fn has_line(&self) -> bool {
        !self.ahead.is_empty() || self.reader.buffer().contains(&b'\n')
    }

    /// Returns the text of a line ahead, counted from 0 without blank lines; `next` still returns it.
    pub(crate) fn peek(&mut self, line: usize) -> io::Result<Option<&[u8]>> {
        while self.ahead.len() <= line {
            match self.read()? {
                Some(line) => self.ahead.push_back(line),
                None => return Ok(None),
            }
        }
        Ok(self.ahead[line].text.as_deref())
    }

    /// Returns the next line that is not blank.
    pub(crate) fn next(&mut self) -> io::Result<Option<InputLine>> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            let mut text = Vec::new();
            let read = self.read_line(&mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.bytes += read;
            self.number += 1;
            if read > self.longest as u64 && text.is_empty() {
                return Ok(Some(InputLine { number: self.number, end: self.bytes, ..InputLine::default() }));
            }
            // Editors on some systems begin a file with a byte order mark.
            if self.number == 1 && text.starts_with(b"\xEF\xBB\xBF") {
                text.drain(..3);
            }
            let end = text.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
            text.truncate(end);
            if !text.is_empty() {
                return Ok(Some(InputLine {
                    number: self.number,
                    end: self.bytes,
                    text: Some(text),
                    ..InputLine::default()
                }));
            }
        }
    }

    /// Reads to the end of the line; returns the number of bytes. A line that is too long leaves `text` empty.
    fn read_line(&mut self, text: &mut Vec<u8>) -> io::Result<u64> {
        let mut read = 0;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            read += taken as u64;
            if read <= self.longest as u64 + 1 {
                text.extend_from_slice(&buffer[..taken]);
            } else {
                *text = Vec::new();
            }
            self.reader.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], longest: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(text, longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.text.map(|text| String::from_utf8_lossy(&text).into_owned())));
        }
        assert_eq!(lines.bytes(), text.len() as u64);
        all
    }

    #[test]
    fn line_ends_blank_lines_and_marks_are_removed() {
        let text = b"\xEF\xBB\xBF{}\r\n\n  \r\n[1]\n{\"a\":1}";
        let wanted = [(1, "{}"), (4, "[1]"), (5, "{\"a\":1}")];
        let wanted: Vec<_> = wanted.map(|(number, text)| (number, Some(text.to_owned()))).into();
        assert_eq!(lines(text, 100), wanted);
        assert_eq!(lines(b"", 100), vec![]);
        assert_eq!(lines(b"\n\n", 100), vec![]);
    }

    #[test]
    fn long_lines_are_skipped() {
        let text = format!("a\n{}\nb", "x".repeat(300_000));
        let wanted = vec![(1, Some("a".to_owned())), (2, None), (3, Some("b".to_owned()))];
        assert_eq!(lines(text.as_bytes(), 1000), wanted);
        assert_eq!(lines(b"12345\n123456\n", 5), vec![(1, Some("12345".to_owned())), (2, None)]);
    }
}
