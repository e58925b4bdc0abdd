//! From the text of a flow file to its types.

use std::ops::Range;

use serde_saphyr::{Error, Location, UserMessageFormatter, options};

use crate::diagnostic::Diagnostic;
use crate::file::FlowFile;
use crate::located::bytes;
use crate::source::Source;
use llmspell::suggest;

/// Reads a flow file; what it means is checked later.
pub(crate) fn parse(source: &Source) -> Result<FlowFile, Diagnostic> {
    let strict = options! { strict_booleans: true, reject_unsupported_tags: true };
    serde_saphyr::from_str_with_options(source.text(), strict).map_err(|error| explain(source, error.without_snippet()))
}

/// The parser's error in the words of flow files.
fn explain(source: &Source, error: &Error) -> Diagnostic {
    let at = error.location().map(|location| place(source.text(), location));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => source
            .diagnose(at, format!("unknown key `{field}`"))
            .with_hint(suggest::hint(field, expected.iter().copied(), "the keys here are")),
        Error::SerdeUnknownVariant { variant, expected, .. } => source
            .diagnose(at, format!("unknown value `{variant}`"))
            .with_hint(suggest::hint(variant, expected.iter().copied(), "it can be one of")),
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
        other => {
            let problem = source.diagnose(at.clone(), plain(other));
            problem.with_hint(unquoted_template(source.text(), at).unwrap_or_else(|| hint(other).to_owned()))
        }
    }
}

/// The text of an error without what the caret shows already.
fn plain(error: &Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
    match text {
        "expected sequence start" => "a list is expected here".to_owned(),
        "expected mapping start" => "a table of keys and values is expected here".to_owned(),
        "invalid u32" => format!("a whole number from 0 to {} is expected here", u32::MAX),
        "expected string scalar" => "a text is expected here".to_owned(),
        other => other.to_owned(),
    }
}

/// What to do about an error that says nothing of flow files.
fn hint(error: &Error) -> &'static str {
    match plain(error).as_str() {
        "a list is expected here" => "begin each item with `- `, or write [a, b]",
        "a table of keys and values is expected here" => "write `key: value`, one a line",
        number if number.starts_with("a whole number") => "write it in digits, without quotes or a unit",
        "a text is expected here" => "put it in quotes",
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
