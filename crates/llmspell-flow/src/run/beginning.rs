//! What the beginning of an input tells of all of it: that it is no such input, or lacks what the flow asks for. Said
//! once, before any work, and not once for each record.

use llmspell::{Error, Result, suggest};

use super::form::Form;
use super::reader::Format;

/// What every record of a list of files has.
const OF_FILES: [&str; 6] = ["path", "name", "extension", "bytes", "modified_ms", "text"];

/// Looks at the first line that is not blank.
pub(super) fn lines(text: &[u8], input: &str) -> Result<()> {
    let behind = |open: u8| text.strip_prefix(&[open]).map(<[u8]>::trim_ascii_start);
    let is_array = behind(b'[').is_some_and(|rest| rest.is_empty() || rest.starts_with(b"{"));
    if is_array {
        let message = format!("{input} is a JSON array, and not one record a line");
        return Err(
            Error::invalid(message).with_hint("write each of its items on a line: jq -c '.[]' FILE > records.jsonl")
        );
    }
    if behind(b'{').is_some_and(<[u8]>::is_empty) {
        let message = format!("{input} has JSON over several lines, and not one record a line");
        return Err(Error::invalid(message).with_hint("write each record on a line: jq -c . FILE > records.jsonl"));
    }
    Ok(())
}

/// Looks at the names of the columns.
pub(super) fn columns(names: &[String], format: Format, form: &Form, input: &str) -> Result<()> {
    if let [one] = names
        && !form.inputs.names().is_some_and(|declared| declared.contains(&one.as_str()))
    {
        apart(one, format, input)?;
    }
    present(names.iter().map(String::as_str), form, input, "column", "its columns are")
}

/// The fields of files.
pub(super) fn files(form: &Form, input: &str) -> Result<()> {
    present(OF_FILES.into_iter(), form, input, "field", "the fields of files are")
}

/// A single name that has other separators in it.
fn apart(name: &str, format: Format, input: &str) -> Result<()> {
    if name.starts_with('{') || name.starts_with("[{") {
        let message = format!("{input} begins like JSON, and not with the names of columns");
        return Err(Error::invalid(message).with_hint("read it as what it is: --format jsonl"));
    }
    let (sign, hint) = match format {
        Format::Csv if name.contains('\t') => ("tabs", "read it as what it is: --format tsv"),
        Format::Tsv if name.contains(',') => ("commas", "read it as what it is: --format csv"),
        _ if name.contains(';') => ("semicolons", "write it with commas, or with tabs and --format tsv"),
        _ => return Ok(()),
    };
    let message = format!("{input} has a single column, `{}`: its values seem to be apart by {sign}", shown(name));
    Err(Error::invalid(message).with_hint(hint))
}

/// Headers may be long.
fn shown(name: &str) -> String {
    let short: String = name.chars().map(|c| if c == '\t' { ' ' } else { c }).take(60).collect();
    if short.chars().count() < name.chars().count() { format!("{short}…") } else { short }
}

/// Whether there is all that each record must have.
fn present<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    form: &'a Form,
    input: &str,
    what: &str,
    are: &str,
) -> Result<()> {
    let there =
        |field: &&str| names.clone().chain(form.set.iter().map(|(name, _)| name.as_str())).any(|name| name == *field);
    let declared = form.inputs.names().unwrap_or_default();
    let missing: Vec<&str> =
        declared.into_iter().filter(|field| form.inputs.requires(field) && !there(field)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let s = if missing.len() == 1 { "" } else { "s" };
    let listed = missing.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    let message = format!("{input} has no {what}{s} {listed}, which the flow asks for under `inputs`");
    let hint = suggest::hint(first, names, are);
    Err(Error::invalid(message).with_hint(format!("{hint}; `--set {first}=…` gives it to every record")))
}
