//! Rows of CSV and TSV as records: a header names the fields; values may be quoted and span lines.
//!
//! Not by the crate `csv`: it reads from an unclosed quote to the end of the input into memory, and takes text behind
//! a closing quote as part of the value. Here both are errors of one row, and the size of a row is bounded.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use llmspell::{Error, Result};
use serde_json::{Map, Value};

use super::format::{Format, ReadError};
use super::lines::InputLine;

/// A reader of rows; blank lines between them are skipped but counted.
pub(crate) struct CsvRows<R> {
    reader: BufReader<R>,
    separator: u8,
    /// The number of line ends so far.
    lines: u64,
    bytes: u64,
    longest: usize,
    header: Option<Arc<[String]>>,
    /// The raw text of the header.
    raw_header: Vec<u8>,
    /// A row that has been read ahead.
    ahead: Option<CsvRow>,
}

/// The position of the next byte in a row.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted value: the quote ends the value, or is half of an escaped quote.
    Quote,
}

/// A row as it was read.
#[derive(Default)]
struct CsvRow {
    /// The line it begins at, from 1.
    number: u64,
    raw: Vec<u8>,
    values: Vec<Vec<u8>>,
    /// The problem of the row, and a remedy.
    problem: Option<(String, &'static str)>,
}

impl<R: Read> CsvRows<R> {
    pub(crate) fn new(reader: R, separator: u8, longest: usize) -> Self {
        let reader = BufReader::with_capacity(1 << 16, reader);
        CsvRows { reader, separator, lines: 0, bytes: 0, longest, header: None, raw_header: Vec::new(), ahead: None }
    }

    /// Returns the number of bytes read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the next row is available without waiting for more input.
    pub(crate) fn has_row(&self) -> bool {
        let buffer = self.reader.buffer();
        let end = buffer.iter().position(|byte| *byte == b'\n');
        self.ahead.is_some() || end.is_some_and(|end| !buffer[..end].contains(&b'"'))
    }

    /// Returns the format of the rows.
    pub(crate) fn format(&self) -> Format {
        if self.separator == b'\t' { Format::Tsv } else { Format::Csv }
    }

    /// Returns the names of the columns, unless the input is empty.
    pub(crate) fn header(&mut self) -> std::result::Result<Option<Arc<[String]>>, ReadError> {
        if self.header.is_none() {
            let Some(row) = self.read_row()? else { return Ok(None) };
            self.raw_header.clone_from(&row.raw);
            self.header = Some(column_names(row).map_err(ReadError::Invalid)?.into());
        }
        Ok(self.header.clone())
    }

    /// Returns the raw header and the raw first row; `next` still returns that row.
    pub(crate) fn beginning(&mut self) -> std::result::Result<(&[u8], Option<&[u8]>), ReadError> {
        self.header()?;
        if self.ahead.is_none() {
            self.ahead = self.read_row()?;
        }
        Ok((&self.raw_header, self.ahead.as_ref().map(|row| row.raw.as_slice())))
    }

    /// Returns the next row as a record in JSON.
    pub(crate) fn next(&mut self) -> std::result::Result<Option<InputLine>, ReadError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let row = match self.ahead.take() {
            Some(row) => row,
            None => match self.read_row()? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let number = row.number;
        let (text, problem) = match record(&row, &header) {
            Ok(record) => (serde_json::to_vec(&record).map_err(io::Error::from)?, None),
            Err(error) => (row.raw, Some(error)),
        };
        Ok(Some(InputLine { number, end: self.bytes, text: Some(text), problem, ..InputLine::default() }))
    }

    fn read_row(&mut self) -> io::Result<Option<CsvRow>> {
        loop {
            let Some(row) = self.read_one()? else { return Ok(None) };
            if !row.raw.is_empty() || row.problem.is_some() {
                return Ok(Some(row));
            }
        }
    }

    /// Reads up to the end of a row, which may be blank.
    fn read_one(&mut self) -> io::Result<Option<CsvRow>> {
        let mut parser = RowParser::new(self.separator, self.longest, self.lines + 1, self.bytes == 0);
        let mut is_empty = true;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok((!is_empty).then(|| parser.finish_input()));
            }
            is_empty = false;
            let end = buffer.iter().position(|byte| parser.push(*byte));
            let taken = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(taken);
            self.bytes += taken as u64;
            self.lines = parser.line - 1;
            if end.is_some() {
                self.lines += 1;
                return Ok(Some(parser.finish_line()));
            }
        }
    }
}

/// Parses one row, byte by byte.
struct RowParser {
    row: CsvRow,
    value: Vec<u8>,
    position: Position,
    separator: u8,
    longest: usize,
    /// The current line, from 1.
    line: u64,
    column: u64,
    /// The line and column of the last opening quote.
    opened: (u64, u64),
    size: usize,
    /// Whether a byte order mark may come: only at the start of the input.
    may_have_mark: bool,
}

impl RowParser {
    fn new(separator: u8, longest: usize, line: u64, may_have_mark: bool) -> Self {
        RowParser {
            row: CsvRow { number: line, ..CsvRow::default() },
            value: Vec::new(),
            position: Position::Start,
            separator,
            longest,
            line,
            column: 0,
            opened: (0, 0),
            size: 0,
            may_have_mark,
        }
    }

    /// Takes the next byte; returns whether it ends the row.
    fn push(&mut self, byte: u8) -> bool {
        self.column += 1;
        if self.size <= self.longest && !(self.position != Position::Quoted && byte == b'\n') {
            self.row.raw.push(byte);
        }
        self.size += 1;
        if self.position != Position::Quoted && byte == b'\n' {
            return true;
        }
        self.position = self.next_position(byte);
        if self.size > self.longest {
            // The parser looks for the end of the row, but keeps nothing of it.
            (self.row.raw, self.row.values, self.value) = (Vec::new(), Vec::new(), Vec::new());
        }
        false
    }

    fn next_position(&mut self, byte: u8) -> Position {
        match (self.position, byte) {
            (Position::Quoted, b'"') => Position::Quote,
            (Position::Quote, b'"') => {
                self.value.push(b'"');
                Position::Quoted
            }
            (Position::Quoted, byte) => {
                if byte == b'\n' {
                    self.line += 1;
                    self.column = 0;
                }
                self.value.push(byte);
                Position::Quoted
            }
            (_, byte) if byte == self.separator => {
                self.row.values.push(std::mem::take(&mut self.value));
                Position::Start
            }
            (Position::Start, b'"') => {
                self.opened = (self.line, self.column);
                Position::Quoted
            }
            (Position::Quote, b'\r') => Position::Quote,
            (Position::Quote, _) => {
                let message = format!("line {}, column {}: text after a closing quote", self.line, self.column);
                self.row.problem.get_or_insert((message, "write a quote within a value twice"));
                Position::Plain
            }
            (_, byte) => self.push_plain(byte),
        }
    }

    fn push_plain(&mut self, byte: u8) -> Position {
        self.value.push(byte);
        // Editors on some systems begin a file with a byte order mark.
        if self.may_have_mark && self.size == 3 && self.value == b"\xEF\xBB\xBF" {
            self.value.clear();
            self.row.raw.clear();
            return Position::Start;
        }
        Position::Plain
    }

    /// Ends the row at the end of a line.
    fn finish_line(mut self) -> CsvRow {
        if self.position != Position::Quote && self.value.last() == Some(&b'\r') {
            self.value.pop();
        }
        self.finish()
    }

    /// Ends the row at the end of the input.
    fn finish_input(mut self) -> CsvRow {
        if self.position == Position::Quoted {
            let (line, column) = self.opened;
            let message = format!("the quote that opens in line {line}, column {column} is never closed");
            self.row.problem = Some((message, "close it, or write a quote within a value twice"));
        }
        self.finish()
    }

    fn finish(self) -> CsvRow {
        let RowParser { mut row, value, size, longest, .. } = self;
        row.values.push(value);
        if row.raw.last() == Some(&b'\r') {
            row.raw.pop();
        }
        if row.raw.iter().all(u8::is_ascii_whitespace) {
            row.raw.clear();
        }
        if size > longest {
            let message = format!("the row from line {} on is longer than {} MiB", row.number, longest >> 20);
            row.problem = Some((message, "look for a quote that is never closed"));
        }
        row
    }
}

/// Returns the field names of a header.
fn column_names(row: CsvRow) -> Result<Vec<String>> {
    if let Some((message, hint)) = row.problem {
        return Err(Error::invalid(format!("the header cannot be used: {message}")).with_hint(hint));
    }
    let mut names: Vec<String> = Vec::with_capacity(row.values.len());
    for (place, value) in row.values.into_iter().enumerate() {
        let name = String::from_utf8(value).map_err(|_| {
            let message = format!("the header cannot be used: the name of column {} is not UTF-8", place + 1);
            Error::invalid(message).with_hint("write the file as UTF-8")
        })?;
        // The first column of a table often has no name.
        let name = if name.trim().is_empty() { format!("column_{}", place + 1) } else { name.trim().to_owned() };
        if let Some(other) = names.iter().position(|known| *known == name) {
            let places = format!("{} and {}", other + 1, place + 1);
            let message = format!("the header cannot be used: two columns are called `{name}`, {places}");
            return Err(Error::invalid(message).with_hint("give each column a unique name"));
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns the record of a row; every value is text.
fn record(row: &CsvRow, header: &[String]) -> Result<Map<String, Value>> {
    if let Some((message, hint)) = &row.problem {
        return Err(Error::invalid(message.clone()).with_hint(*hint));
    }
    let (number, values) = (row.number, row.values.len());
    if values != header.len() {
        let s = if values == 1 { "" } else { "s" };
        let message = format!("line {number} has {values} value{s}, but the header names {}", header.len());
        return Err(Error::invalid(message).with_hint("quote values that contain the separator"));
    }
    let field = |(name, value): (&String, &Vec<u8>)| {
        let value = std::str::from_utf8(value).map_err(|_| {
            let message = format!("line {number}: the value of `{name}` is not UTF-8");
            Error::invalid(message).with_hint("write the file as UTF-8")
        })?;
        Ok((name.clone(), Value::from(value)))
    };
    header.iter().zip(&row.values).map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each row as its line, and its record or its problem.
    fn rows(text: &[u8], longest: usize) -> Vec<(u64, String)> {
        let mut rows = CsvRows::new(text, b',', longest);
        let mut all = Vec::new();
        while let Some(line) = rows.next().ok().unwrap() {
            let text = line
                .problem
                .map_or_else(|| String::from_utf8(line.text.unwrap()).unwrap(), |problem| problem.message().to_owned());
            all.push((line.number, text));
        }
        assert_eq!(rows.bytes(), text.len() as u64);
        all
    }

    #[test]
    fn values_are_text_and_may_span_lines() {
        let text = b"\xEF\xBB\xBFa, b \r\n1,\r\n\r\n\"x,\"\"y\"\"\nz\",5\" disk\n\"\",\"q\"";
        let wanted =
            [(2, r#"{"a":"1","b":""}"#), (4, r#"{"a":"x,\"y\"\nz","b":"5\" disk"}"#), (6, r#"{"a":"","b":"q"}"#)];
        assert_eq!(rows(text, 100), wanted.map(|(line, text)| (line, text.to_owned())));
        assert_eq!(rows(b"", 100), []);
        assert_eq!(rows(b"a,b", 100), []);
        assert_eq!(rows(b"\n\"a\"\n\n1\n", 100), [(4, "{\"a\":\"1\"}".to_owned())]);
        assert_eq!(rows(b",b\n1,2\n", 100)[0].1, r#"{"column_1":"1","b":"2"}"#);
    }

    #[test]
    fn an_invalid_row_does_not_affect_others() {
        let text = b"a,b\n1\n1,2,3\n\"x\"y,2\n\xFF,1\n1,2\n\"open,1\n1,2\n";
        let wanted = [
            (2, "line 2 has 1 value, but the header names 2"),
            (3, "line 3 has 3 values, but the header names 2"),
            (4, "line 4, column 4: text after a closing quote"),
            (5, "line 5: the value of `a` is not UTF-8"),
            (6, r#"{"a":"1","b":"2"}"#),
            (7, "the quote that opens in line 7, column 1 is never closed"),
        ];
        assert_eq!(rows(text, 100), wanted.map(|(line, text)| (line, text.to_owned())));
        let long = format!("a\n{}\n1\n\"{}\n\"\n2\n", "x".repeat(200_000), "\n".repeat(100));
        let long: Vec<u64> = rows(long.as_bytes(), 50).into_iter().map(|(line, _)| line).collect();
        assert_eq!(long, [2, 3, 4, 106]);
    }

    #[test]
    fn an_invalid_header_is_an_error_of_the_input() {
        for problem in [&b"a,a\n1,2\n"[..], b"\xFF\n", b"\"a\n1"] {
            assert!(CsvRows::new(problem, b',', 100).next().is_err());
        }
    }

    proptest! {
        #[test]
        fn quoted_values_round_trip(rows in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,6}", 3), 0..8)) {
            let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n";
            let text = format!("a,b,c\n{}", rows.iter().map(line).collect::<String>());
            let mut read = CsvRows::new(text.as_bytes(), b',', 1 << 20);
            for row in &rows {
                let line = read.next().ok().unwrap().unwrap();
                let record: Value = serde_json::from_slice(&line.text.unwrap()).unwrap();
                let values: Vec<_> = record.as_object().unwrap().values().map(|value| value.as_str().unwrap()).collect();
                prop_assert_eq!(&values, row);
            }
            prop_assert!(read.next().ok().unwrap().is_none());
        }

        #[test]
        fn no_input_panics(text in prop::collection::vec(prop::sample::select(b"a\",\r\n\xFF".to_vec()), 0..64)) {
            let mut rows = CsvRows::new(&text[..], b',', 20);
            while let Ok(Some(_)) = rows.next() {}
        }
    }
}
