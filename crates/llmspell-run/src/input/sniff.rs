//! Checks the beginning of an input: whether it has another format, or lacks a field that the flow requires. The error
//! is reported once, before any work, and not once per record.

use llmspell::internal::suggest;
use llmspell::{Error, Result};
use serde_json::{Map, Value};

use super::decode::RecordDecoder;
use super::format::Format;

/// The fields of a file's record.
const OF_FILES: [&str; 6] = ["path", "name", "extension", "bytes", "modified_ms", "text"];

/// The structure of an input that does not have one record per line, as its first line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotLineBased {
    /// The input is one array; or its first line may be a record that is invalid by itself.
    Array { is_sure: bool },
    /// The JSON spans several lines; or the first record is cut off.
    Several,
}

impl NotLineBased {
    /// Checks the first line that is not blank.
    pub(crate) fn at(text: &[u8]) -> Option<Self> {
        let behind = |open: u8| text.strip_prefix(&[open]).map(<[u8]>::trim_ascii_start);
        match (behind(b'['), behind(b'{')) {
            (Some(b""), _) => Some(NotLineBased::Array { is_sure: true }),
            (Some(rest), _) if rest.starts_with(b"{") => Some(NotLineBased::Array { is_sure: false }),
            (_, Some(b"")) => Some(NotLineBased::Several),
            _ => None,
        }
    }

    /// Whether the second line confirms it: if that is a whole record, only the first line is invalid.
    pub(crate) fn is_confirmed(self, second: Option<&[u8]>) -> bool {
        let is_record = |text| serde_json::from_slice::<Map<String, Value>>(text).is_ok();
        self == NotLineBased::Array { is_sure: true } || !second.is_some_and(is_record)
    }

    pub(crate) fn into_error(self, input: &str) -> Error {
        let (what, command) = match self {
            NotLineBased::Array { .. } => ("is a JSON array", "one item per line: jq -c '.[]'"),
            NotLineBased::Several => ("has JSON that spans several lines", "one record per line: jq -c ."),
        };
        let message = format!("{input} {what}, not one record per line");
        Error::invalid(message).with_hint(format!("write {command} FILE > records.jsonl"))
    }
}

/// Checks the names of the columns. `alone` has the raw header and the raw first row if there is only one column.
pub(crate) fn columns(
    names: &[String],
    alone: Option<(&[u8], Option<&[u8]>)>,
    format: Format,
    decoder: &RecordDecoder,
    input: &str,
) -> Result<()> {
    let missing = check_required(names.iter().map(String::as_str), decoder, input, "column", "its columns are");
    if let ([one], Some((header, first))) = (names, alone)
        && !decoder.inputs.names().is_some_and(|declared| declared.contains(&one.as_str()))
    {
        // A single column may really have a name with a separator.
        let is_so = |sign: u8| {
            let is_also = |first| count_separators(first, sign) == count_separators(header, sign);
            missing.is_err() || count_separators(header, sign) > 0 && first.is_some_and(is_also)
        };
        check_separator(one, format, input, is_so)?;
    }
    missing
}

/// Counts a separator in a row, outside of quotes.
fn count_separators(row: &[u8], sign: u8) -> usize {
    let mut is_quoted = false;
    let is_one = |byte: &&u8| {
        is_quoted ^= **byte == b'"';
        !is_quoted && **byte == sign
    };
    row.iter().filter(is_one).count()
}

/// Checks the fields of files.
pub(crate) fn file_fields(decoder: &RecordDecoder, input: &str) -> Result<()> {
    check_required(OF_FILES.into_iter(), decoder, input, "field", "the fields of files are")
}

/// Rejects a single name that contains another separator, if the rows do, too.
fn check_separator(name: &str, format: Format, input: &str, is_so: impl Fn(u8) -> bool) -> Result<()> {
    if name.starts_with('{') || name.starts_with("[{") {
        let message = format!("{input} begins like JSON, not with column names");
        return Err(Error::invalid(message).with_hint("use --format jsonl"));
    }
    let (sign, hint) = match format {
        Format::Csv if name.contains('\t') && is_so(b'\t') => ("tabs", "use --format tsv"),
        Format::Tsv if name.contains(',') && is_so(b',') => ("commas", "use --format csv"),
        _ if name.contains(';') && is_so(b';') => ("semicolons", "write it with commas, or with tabs and --format tsv"),
        _ => return Ok(()),
    };
    let message =
        format!("{input} has a single column, `{}`: its values seem to be separated by {sign}", shorten(name));
    Err(Error::invalid(message).with_hint(hint))
}

/// Shortens a header, which may be long.
fn shorten(name: &str) -> String {
    let short: String = name.chars().map(|c| if c == '\t' { ' ' } else { c }).take(60).collect();
    if short.chars().count() < name.chars().count() { format!("{short}…") } else { short }
}

/// Checks that all required inputs exist.
fn check_required<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    decoder: &'a RecordDecoder,
    input: &str,
    what: &str,
    are: &str,
) -> Result<()> {
    let there = |field: &&str| {
        names.clone().chain(decoder.set.iter().map(|(name, _)| name.as_str())).any(|name| name == *field)
    };
    let declared = decoder.inputs.names().unwrap_or_default();
    let missing: Vec<&str> =
        declared.into_iter().filter(|field| decoder.inputs.requires(field) && !there(field)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let s = if missing.len() == 1 { "" } else { "s" };
    let listed = missing.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    let message = format!("{input} has no {what}{s} {listed}, which the flow requires under `inputs`");
    let hint = suggest::hint(first, names, are);
    Err(Error::invalid(message).with_hint(format!("{hint}; `--set {first}=…` sets it in every record")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_invalid_first_line_does_not_reject_the_input() {
        let is_none = |first: &str, second: Option<&str>| {
            NotLineBased::at(first.as_bytes()).is_some_and(|found| found.is_confirmed(second.map(str::as_bytes)))
        };
        for (first, second) in [
            ("[", Some("{\"a\": 1}")),
            ("[{\"a\": 1},", Some("{\"a\": 2},")),
            ("[{\"a\": 1}]", None),
            ("{", Some("  \"a\": 1")),
            ("{", None),
        ] {
            assert!(is_none(first, second), "{first}");
        }
        for (first, second) in
            [("{", "{\"a\": 1}"), ("[{\"a\": 1}]", "{\"a\": 2}"), ("{}", "{"), ("[]", "[{"), ("{\"a\":", "1")]
        {
            assert!(!is_none(first, Some(second)), "{first}");
        }
    }

    #[test]
    fn a_single_column_is_rejected_only_if_the_rows_have_the_separator() {
        let looked = |header: &str, first: &str, format| {
            let raw = Some((header.as_bytes(), Some(first.as_bytes()).filter(|first| !first.is_empty())));
            columns(&[header.trim_matches('"').to_owned()], raw, format, &RecordDecoder::default(), "in").is_ok()
        };
        for (header, first, format) in [
            ("City, State", "Paris", Format::Tsv),
            ("Question; answer shortly", "Why?", Format::Csv),
            ("a;b", "", Format::Csv),
            ("\"a;b\"", "1;2", Format::Csv),
            ("a;b", "\"1;2\"", Format::Csv),
            ("a;b", "1;2;3", Format::Csv),
        ] {
            assert!(looked(header, first, format), "{header}");
        }
        for (header, first, format) in
            [("a,b", "1,2", Format::Tsv), ("a;b", "\";\";2", Format::Csv), ("a\tb", "1\t2", Format::Csv)]
        {
            assert!(!looked(header, first, format), "{header}");
        }
    }
}
