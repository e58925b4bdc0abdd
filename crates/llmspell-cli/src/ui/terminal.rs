//! Printing: problems and notes on standard error, data on standard output, in colour or as JSON where that is wanted.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

use crate::exit::CommandError;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Whether each line on standard error is a JSON object, because a program reads it.
static JSON_ERRORS: AtomicBool = AtomicBool::new(false);

/// Switches standard error between text and one JSON object a line.
pub(crate) fn set_json_errors(yes: bool) {
    JSON_ERRORS.store(yes, Ordering::Relaxed);
}

fn json_errors() -> bool {
    JSON_ERRORS.load(Ordering::Relaxed)
}

/// Prints one line of JSON on standard error. A closed standard error is ignored.
pub(crate) fn object(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let _ = io::stderr().lock().write_all(format!("{}\n", escape_controls(&text)).as_bytes());
    }
}

/// Returns a problem as an object: `{"error": …, "hint": …}`.
fn problem_object(text: &str) -> serde_json::Value {
    let (text, hint) = text.split_once("\nhint: ").map_or((text, None), |(text, hint)| (text, Some(hint)));
    let (label, rule, text) = split_label(text).unwrap_or(("error", None, text));
    let mut object = serde_json::Map::new();
    // The margin before the hint is a part of the drawing, not of the problem.
    object.insert(label.to_owned(), text.trim_end_matches([' ', '|', '\n']).trim_start().into());
    if let Some(rule) = rule {
        object.insert("rule".to_owned(), rule.into());
    }
    if let Some(hint) = hint {
        object.insert("hint".to_owned(), hint.replace("\nhint: ", "\n").trim().into());
    }
    object.into()
}

/// Splits a text such as `warning[unused-step]: …` into its label, the id of its lint rule, and the rest.
fn split_label(text: &str) -> Option<(&'static str, Option<&str>, &str)> {
    let label = ["error", "warning", "hint"].into_iter().find(|label| text.starts_with(label))?;
    let rest = &text[label.len()..];
    match rest.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((rule, rest)) => Some((label, Some(rule), rest)),
        None => Some((label, None, rest.strip_prefix(':')?)),
    }
}

/// Prints an error or a warning. Colour only repeats what the words say.
pub(crate) fn problem(text: &str) {
    if json_errors() {
        return object(&problem_object(text));
    }
    let mut err = anstream::stderr().lock();
    for line in escape_controls(text).lines() {
        // A closed standard error is ignored.
        let _ = writeln!(err, "{}", coloured(line));
    }
}

fn coloured(line: &str) -> String {
    if let Some((label, _, rest)) = split_label(line) {
        let style = match label {
            "error" => ERROR,
            "warning" => WARNING,
            _ => HINT,
        };
        return format!("{style}{}{style:#}{rest}", &line[..line.len() - rest.len()]);
    }
    match line.split_once('|') {
        Some((margin, mark)) if margin.trim().is_empty() && mark.trim_start().starts_with('^') => {
            format!("{margin}|{ERROR}{mark}{ERROR:#}")
        }
        _ => line.to_owned(),
    }
}

/// Returns the width of the terminal on standard error; `None` if standard error is not a terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    console::Term::stderr().size_checked().map(|(_, width)| usize::from(width))
}

/// Prints a note on standard error: neither data nor a problem.
pub(crate) fn note(text: &str) {
    if json_errors() {
        return object(&serde_json::json!({ "notice": text }));
    }
    let _ = writeln!(anstream::stderr().lock(), "{}", escape_controls(text));
}

/// Prints the result of a command on standard output. A reader that closes the pipe early is not an error.
pub(crate) fn data(text: &str) -> Result<(), CommandError> {
    match writeln!(anstream::stdout().lock(), "{}", escape_controls(text)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::output(error)),
        _ => Ok(()),
    }
}

/// Escapes the characters that control a terminal. Flows and records may hold any text, and it must not move the
/// cursor, set the clipboard or change the direction of a line. The escapes are those of JSON, so that JSON stays valid.
pub(crate) fn escape_controls(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| {
        let is_bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        is_bidi || (c.is_control() && c != '\n' && c != '\t')
    };
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape_controls("naïve → 你好\n\tfine"), "naïve → 你好\n\tfine");
        assert_eq!(escape_controls("\u{1b}]0;x\u{7}\r\u{9b}2J\u{202e}"), "\\u001b]0;x\\u0007\\u000d\\u009b2J\\u202e");
    }

    #[test]
    fn problems_become_objects() {
        let object = problem_object("error: no\n  --> f.yaml:1\n\nhint: this\nhint: or that");
        assert_eq!(object, serde_json::json!({ "error": "no\n  --> f.yaml:1", "hint": "this\nor that" }));
        assert_eq!(problem_object("warning: so"), serde_json::json!({ "warning": "so" }));
    }
}
