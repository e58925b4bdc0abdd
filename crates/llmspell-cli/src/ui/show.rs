//! Text for people, on standard error and standard output, with colour where it is wanted.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Whether standard error is read by a program: then each line there is an object.
static SPEAKS_JSON: AtomicBool = AtomicBool::new(false);

/// From here on, all that is shown are objects, or words again.
pub(crate) fn speak_json(yes: bool) {
    SPEAKS_JSON.store(yes, Ordering::Relaxed);
}

fn speaks_json() -> bool {
    SPEAKS_JSON.load(Ordering::Relaxed)
}

/// Shows one line of JSON. A standard error that nobody reads changes nothing.
pub(crate) fn object(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let _ = io::stderr().lock().write_all(format!("{}\n", harmless(&text)).as_bytes());
    }
}

/// What is wrong as an object: `{"error": …, "hint": …}`.
fn as_object(text: &str) -> serde_json::Value {
    let (text, hint) = text.split_once("\nhint: ").map_or((text, None), |(text, hint)| (text, Some(hint)));
    let (label, text) = [("error", "error:"), ("warning", "warning:")]
        .into_iter()
        .find_map(|(name, label)| Some((name, text.strip_prefix(label)?)))
        .unwrap_or(("error", text));
    let mut object = serde_json::Map::new();
    object.insert(label.to_owned(), text.trim().into());
    if let Some(hint) = hint {
        object.insert("hint".to_owned(), hint.replace("\nhint: ", "\n").trim().into());
    }
    object.into()
}

/// Shows what is wrong. Colour marks what the words say already.
pub(crate) fn problem(text: &str) {
    if speaks_json() {
        return object(&as_object(text));
    }
    let mut err = anstream::stderr().lock();
    for line in harmless(text).lines() {
        // A standard error that nobody reads changes nothing.
        let _ = writeln!(err, "{}", painted(line));
    }
}

fn painted(line: &str) -> String {
    for (label, style) in [("error:", ERROR), ("warning:", WARNING), ("hint:", HINT)] {
        if let Some(rest) = line.strip_prefix(label) {
            return format!("{style}{label}{style:#}{rest}");
        }
    }
    match line.split_once('|') {
        Some((margin, mark)) if margin.trim().is_empty() && mark.trim_start().starts_with('^') => {
            format!("{margin}|{ERROR}{mark}{ERROR:#}")
        }
        _ => line.to_owned(),
    }
}

/// How wide the terminal is that notes go to; `None` if they go elsewhere.
pub(crate) fn terminal_width() -> Option<usize> {
    console::Term::stderr().size_checked().map(|(_, width)| usize::from(width))
}

/// Shows something that is neither data nor wrong.
pub(crate) fn note(text: &str) {
    if speaks_json() {
        return object(&serde_json::json!({ "notice": text }));
    }
    let _ = writeln!(anstream::stderr().lock(), "{}", harmless(text));
}

/// Writes what a command has to say as data, to be read by people. A reader that has had enough is no error.
pub(crate) fn data(text: &str) -> io::Result<()> {
    match writeln!(anstream::stdout().lock(), "{}", harmless(text)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text with what would command a terminal written out: flows and records may hold anything, and it must neither
/// move the cursor, nor set the clipboard, nor turn the direction of a line. Written as JSON does, so that JSON stays
/// JSON.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (c.is_control() && c != '\n' && c != '\t')
    };
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if commands(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A word of a command as shells take it.
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
}

/// Breaks a text into lines of at most `width` characters, all but the first indented.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// A number with its thousands apart: `3,115`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `3,115 records`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `612/s`, `2.5/s`.
pub(crate) fn per_second(rate: f64) -> String {
    if rate >= 9.95 { format!("{}/s", count(rate.round() as u64)) } else { format!("{rate:.1}/s") }
}

/// `85 µs`, `1.2 ms`, `3.4 s`, `12 min 5 s`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let digits = |number: f64| if number < 9.95 { format!("{number:.1}") } else { format!("{number:.0}") };
    match seconds {
        _ if time.is_zero() => "0".to_owned(),
        _ if seconds < 0.995e-3 => format!("{} µs", digits(seconds * 1e6)),
        _ if seconds < 0.995 => format!("{} ms", digits(seconds * 1e3)),
        _ if seconds < 119.5 => format!("{} s", digits(seconds)),
        _ => left(time),
    }
}

/// A time that is only guessed: `40 s`, `12 min`, `3 h 20 min`.
pub(crate) fn left(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=599 => format!("{} min {} s", seconds / 60, seconds % 60),
        600..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(harmless("naïve → 你好\n\tfine"), "naïve → 你好\n\tfine");
        assert_eq!(harmless("\u{1b}]0;x\u{7}\r\u{9b}2J\u{202e}"), "\\u001b]0;x\\u0007\\u000d\\u009b2J\\u202e");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for plain in ["in.jsonl", "net=a.org:80", "a,b/../c@1%2"] {
            assert_eq!(shell_word(plain), plain);
        }
        assert_eq!(["", "my file", "it's", "$x"].map(shell_word), ["''", "'my file'", "'it'\\''s'", "'$x'"]);
    }

    #[test]
    fn what_is_wrong_is_an_object_too() {
        let told = as_object("error: no\n  --> f.yaml:1\n\nhint: this\nhint: or that");
        assert_eq!(told, serde_json::json!({ "error": "no\n  --> f.yaml:1", "hint": "this\nor that" }));
        assert_eq!(as_object("warning: so"), serde_json::json!({ "warning": "so" }));
    }

    #[test]
    fn times_have_two_digits_or_so() {
        let shown = |ms: f64| time(Duration::from_secs_f64(ms / 1e3));
        assert_eq!([0.0, 0.085, 0.9999, 1.23, 999.9].map(shown), ["0", "85 µs", "1.0 ms", "1.2 ms", "1.0 s"]);
        assert_eq!([3_400.0, 119_400.0, 125_000.0].map(shown), ["3.4 s", "119 s", "2 min 5 s"]);
        assert_eq!([1_000_000.0, 12_000_000.0].map(shown), ["16 min", "3 h 20 min"]);
    }

    #[test]
    fn numbers_and_texts_are_set_for_reading() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(3_115), "3,115");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(wrapped("one two three", 7, 2), "one two\n  three");
    }
}
