//! The parser: from the text of a flow file to its types.

mod hints;
mod position;

use std::ops::Range;

use llmspell::internal::suggest;
use serde_saphyr::{Error, Location, UserMessageFormatter, options};

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::located::bytes;
use crate::syntax::quota;
use crate::syntax::source::Source;
use position::Position;

/// Parses a flow file. Its meaning is checked later.
pub(crate) fn parse(source: &Source) -> Result<FlowFile, Diagnostic> {
    let strict = options! { strict_booleans: true, reject_unsupported_tags: true };
    serde_saphyr::from_str_with_options(source.text(), strict).map_err(|error| explain(source, error.without_snippet()))
}

/// Explains an error of the YAML parser in the terms of flow files.
fn explain(source: &Source, error: &Error) -> Diagnostic {
    let at = error.location().map(|location| byte_range(source.text(), location));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let hint = match source.text().trim_start().starts_with(['{', '[']) && expected.contains(&"steps") {
                true => RECORDS.to_owned(),
                false => hints::key(field, expected)
                    .unwrap_or_else(|| suggest::hint(field, expected.iter().copied(), "the keys here are")),
            };
            source.diagnose(at, format!("unknown key `{field}`")).with_hint(hint)
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let hint = match hints::kind(variant).filter(|kind| expected.contains(kind)) {
                Some(kind) => format!("write `{kind}`"),
                None => suggest::hint(variant, expected.iter().copied(), "it can be one of"),
            };
            source.diagnose(at, format!("unknown value `{variant}`")).with_hint(hint)
        }
        Error::SerdeMissingField { field, .. } => {
            source.diagnose(at, format!("missing key `{field}`")).with_hint(match *field {
                "flow" => "begin with the name of the flow, such as `flow: triage`",
                "steps" => "a flow needs a list of steps: `steps:`, then `- id: …` and `tool: …` for each",
                _ => "`llmspell help flow` lists the keys",
            })
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            source.diagnose(at, format!("duplicate key `{key}`")).with_hint("keep one of the two")
        }
        Error::MultipleDocuments { .. } => source
            .diagnose(at, "a second document begins here")
            .with_hint("a file holds one flow: remove what follows `---`"),
        Error::Eof { .. } => source
            .diagnose(at, "the file is empty")
            .with_hint("a flow has a name and steps: `flow: …` and `steps:`; see flows/ for examples"),
        other => misfit(source, other, at),
    }
}

/// The hint for a file of records in the place of a flow.
const RECORDS: &str = "this looks like records: pass them with --input, and write the flow in a file of its own";

/// Explains a value that cannot be read, or has the wrong type.
fn misfit(source: &Source, error: &Error, at: Option<Range<usize>>) -> Diagnostic {
    let text = source.text();
    let message = plain(error);
    if message.contains("found a tab") || message.starts_with("tabs ") {
        let at = at.map(|at| tab(text, &at).unwrap_or(at));
        return source
            .diagnose(at, "a tab in the indentation")
            .with_hint("indent with spaces; YAML forbids tabs there");
    }
    if let Some(hint) = unquoted_template(text, at.clone()) {
        return source.diagnose(at, message).with_hint(hint);
    }
    let position = at.as_ref().map(|at| Position::of(text, at.start));
    let advised = match (message.as_str(), &position) {
        (A_TABLE, Some(position)) if position.under().0.is_empty() && text.trim_start().starts_with(['{', '[']) => {
            Some(RECORDS.to_owned())
        }
        (A_TABLE, Some(position)) => hints::table(position),
        (A_LIST, Some(position)) => hints::list(position),
        (A_TEXT, Some(position)) if position.is_many() => {
            Some("write one text instead of a list or a table".to_owned())
        }
        (other, Some(position)) if other.ends_with(AN_EXPRESSION) => {
            let position = Position::of(text, position.at.start).behind(text, &["each", "from", "when", "until"]);
            let message = "expected an expression, such as steps.review.ok";
            return source.diagnose(Some(position.at.clone()), message).with_hint(hints::expression(&position));
        }
        _ => None,
    };
    source.diagnose(at, message.clone()).with_hint(advised.unwrap_or_else(|| hint(error, &message).to_owned()))
}

const A_LIST: &str = "expected a list";
const A_TABLE: &str = "expected a table of keys and values";
const A_TEXT: &str = "expected a text";
const A_BOOLEAN: &str = "expected true or false";
const AN_EXPRESSION: &str = "expected an expression such as steps.review.ok";
const A_WHOLE_NUMBER: &str = "expected a whole number";
const MISPLACED_COLON: &str = "unexpected `: `";
const UNCLOSED_QUOTE: &str = "a quote before this is never closed";

/// Finds the first tab in the indentation of a line, from the line of a position on.
fn tab(text: &str, at: &Range<usize>) -> Option<Range<usize>> {
    let start = text.get(..at.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let mut from = start;
    for line in text[start..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if let Some(tab) = line[..indent].find('\t') {
            return Some(from + tab..from + tab + 1);
        }
        from += line.len();
    }
    None
}

/// Returns the message of an error without the position, which the caret shows.
fn plain(error: &Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
    match text {
        "expected sequence start" => A_LIST.to_owned(),
        "expected mapping start" => A_TABLE.to_owned(),
        "invalid boolean (true or false expected)" => A_BOOLEAN.to_owned(),
        "mapping values are not allowed in this context" => MISPLACED_COLON.to_owned(),
        "invalid indentation in multiline quoted scalar" => UNCLOSED_QUOTE.to_owned(),
        "invalid u32" => format!("{A_WHOLE_NUMBER} from 0 to {}", u32::MAX),
        "expected string scalar" => A_TEXT.to_owned(),
        other => other.to_owned(),
    }
}

/// Returns the hint for an error of YAML itself.
fn hint(error: &Error, plain: &str) -> &'static str {
    // An error of our own deserializers.
    let is_custom = matches!(error, Error::Message { .. });
    match plain {
        A_LIST => "begin each item with `- `, or write [a, b]",
        A_TABLE => "write `key: value`, one per line",
        number if number.starts_with(A_WHOLE_NUMBER) => "write digits only, without leading zeros, quotes or a unit",
        A_TEXT => "put it in quotes",
        A_BOOLEAN => "write true or false; yes, no, on and off are texts",
        MISPLACED_COLON => "put a text that contains `: ` in quotes; otherwise check the indentation",
        UNCLOSED_QUOTE => "close it, or write the text below `|`",
        time if time.contains(" has no unit") || time.contains("not a unit of time") => {
            "write a time with its unit: 500ms, 5s, 2m or 1h"
        }
        time if time.contains("must be longer than 0") => "write a time such as 500ms, or leave the key out",
        rate if rate.contains("nothing would ever start") => "write at least 1, such as `1/min`, or leave the key out",
        rate if rate.contains(quota::EXPECTED) => "write a number and a period: `5/s`",
        forms if is_custom && (forms.starts_with("expected ") || forms.contains(": expected ")) => {
            "write it in one of these forms"
        }
        value if is_custom || value.starts_with("invalid ") => "change the value to fit its key; flows/ has examples",
        _ => "check the indentation, the quotes and the brackets; flows/ has examples",
    }
}

/// Finds an unquoted template in flow style, whose braces YAML reads as its own: the most common syntax error.
fn unquoted_template(text: &str, at: Option<Range<usize>>) -> Option<String> {
    let start = text[..at?.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let (before, _) = line.split_once("${{")?;
    let flow_style = before.contains(['{', '[']) && !before.trim_end().ends_with(['"', '\'']);
    flow_style.then(|| "quote a template inside { } and [ ]: \"${{ … }}\"".to_owned())
}

/// Returns the range of bytes of a location. Syntax errors have a line and a column only.
fn byte_range(text: &str, location: Location) -> Range<usize> {
    let at = bytes(location);
    if at.start > 0 || location.line() <= 1 && location.column() <= 1 {
        return at;
    }
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let line_start = match number(location.line()) {
        0 => 0,
        lines => text.match_indices('\n').nth(lines - 1).map_or(text.len(), |(newline, _)| newline + 1),
    };
    let column = text[line_start..].char_indices().nth(number(location.column()));
    let start = column.map_or(text.len(), |(offset, _)| line_start + offset);
    start..start
}
