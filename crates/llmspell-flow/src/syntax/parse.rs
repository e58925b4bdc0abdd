//! From the text of a flow file to its types.

mod hints;
mod position;

use std::ops::Range;

use llmspell::suggest;
use serde_saphyr::{Error, Location, UserMessageFormatter, options};

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::located::bytes;
use crate::syntax::source::Source;
use position::Spot;

/// Reads a flow file; what it means is checked later.
pub(crate) fn parse(source: &Source) -> Result<FlowFile, Diagnostic> {
    let strict = options! { strict_booleans: true, reject_unsupported_tags: true };
    serde_saphyr::from_str_with_options(source.text(), strict).map_err(|error| explain(source, error.without_snippet()))
}

/// The parser's error in the words of flow files.
fn explain(source: &Source, error: &Error) -> Diagnostic {
    let at = error.location().map(|location| place(source.text(), location));
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
            source.diagnose(at, format!("the key `{field}` is missing")).with_hint(match *field {
                "flow" => "begin with the name of the flow, such as `flow: triage`",
                "steps" => "a flow needs a list of steps: `steps:`, then `- id: …` and `tool: …` for each",
                _ => "`llmspell help flow` tells what belongs where",
            })
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            source.diagnose(at, format!("the key `{key}` stands here twice")).with_hint("keep one of the two")
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

/// For a file that is no flow, but may be the input of one.
const RECORDS: &str = "this looks like records: they belong into --input, and a flow is a file of its own";

/// A value that cannot be read, or not where it stands.
fn misfit(source: &Source, error: &Error, at: Option<Range<usize>>) -> Diagnostic {
    let text = source.text();
    let message = plain(error);
    if message.contains("found a tab") || message.starts_with("tabs ") {
        let at = at.map(|at| tab(text, &at).unwrap_or(at));
        return source.diagnose(at, "a tab stands here").with_hint("indent with spaces; tabs have no width in YAML");
    }
    if let Some(hint) = unquoted_template(text, at.clone()) {
        return source.diagnose(at, message).with_hint(hint);
    }
    let spot = at.as_ref().map(|at| Spot::of(text, at.start));
    let advised = match (message.as_str(), &spot) {
        (A_TABLE, Some(spot)) if spot.under().0.is_empty() && text.trim_start().starts_with(['{', '[']) => {
            Some(RECORDS.to_owned())
        }
        (A_TABLE, Some(spot)) => hints::table(spot),
        (A_LIST, Some(spot)) => hints::list(spot),
        (A_TEXT, Some(spot)) if spot.is_many() => Some("one text belongs here, no list and no table".to_owned()),
        (other, Some(spot)) if other.ends_with(AN_EXPRESSION) => {
            let spot = Spot::of(text, spot.at.start).behind(text, &["each", "from", "when", "until"]);
            let message = "an expression is expected here, such as steps.review.ok";
            return source.diagnose(Some(spot.at.clone()), message).with_hint(hints::expression(&spot));
        }
        _ => None,
    };
    source.diagnose(at, message.clone()).with_hint(advised.unwrap_or_else(|| hint(error, &message).to_owned()))
}

const A_LIST: &str = "a list is expected here";
const A_TABLE: &str = "a table of keys and values is expected here";
const A_TEXT: &str = "a text is expected here";
const A_BOOLEAN: &str = "true or false is expected here";
const AN_EXPRESSION: &str = "expected an expression such as steps.review.ok";

/// The first tab that indents something, from the line of a place on.
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

/// The text of an error without what the caret shows already.
fn plain(error: &Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
    match text {
        "expected sequence start" => A_LIST.to_owned(),
        "expected mapping start" => A_TABLE.to_owned(),
        "invalid boolean (true or false expected)" => A_BOOLEAN.to_owned(),
        "mapping values are not allowed in this context" => "a `: ` cannot stand here".to_owned(),
        "invalid indentation in multiline quoted scalar" => "a quote before this is never closed".to_owned(),
        "invalid u32" => format!("a whole number from 0 to {} is expected here", u32::MAX),
        "expected string scalar" => A_TEXT.to_owned(),
        other => other.to_owned(),
    }
}

/// What to do about an error that says nothing of flow files.
fn hint(error: &Error, plain: &str) -> &'static str {
    match plain {
        A_LIST => "begin each item with `- `, or write [a, b]",
        A_TABLE => "write `key: value`, one a line",
        number if number.starts_with("a whole number") => {
            "write it in digits alone, without a zero before them, quotes or a unit"
        }
        A_TEXT => "put it in quotes",
        A_BOOLEAN => "write true or false; yes, no, on and off are texts here",
        "a `: ` cannot stand here" => "put a text with `: ` in it in quotes; otherwise look at the indentation",
        "a quote before this is never closed" => "close it, or write the text below `|`",
        time if time.contains(" has no unit") || time.contains("not a unit of time") => {
            "times are written with a unit: 500ms, 5s, 2m or 1h"
        }
        time if time.contains("must be longer than 0") => "give a time such as 500ms, or leave the key out",
        rate if rate.contains("nothing would ever start") => "give at least 1, such as `1/min`, or leave the key out",
        rate if rate.contains("so many in a time") => "say how many, and in which time: `5/s`",
        forms if forms.ends_with(" is expected here") => "write it in one of these forms",
        value if matches!(error, Error::Message { .. }) || value.starts_with("invalid ") => {
            "this value does not fit its key; flows/ has examples"
        }
        _ => "look at the indentation, the quotes and the brackets here; flows/ has examples",
    }
}

/// Braces of a template in flow style are read as YAML: the most common reason for text that does not parse.
fn unquoted_template(text: &str, at: Option<Range<usize>>) -> Option<String> {
    let start = text[..at?.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let (before, _) = line.split_once("${{")?;
    let flow_style = before.contains(['{', '[']) && !before.trim_end().ends_with(['"', '\'']);
    flow_style.then(|| "inside { } and [ ] a template must be quoted: \"${{ … }}\"".to_owned())
}

/// The bytes of a place. Syntax errors come with line and column only.
fn place(text: &str, location: Location) -> Range<usize> {
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
