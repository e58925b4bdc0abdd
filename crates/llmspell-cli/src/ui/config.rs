//! Options with their values and sources, as text and as JSON.

use serde_json::{Map, Value, json};

use crate::options::resolved::{EffectiveOption, OptionSource};

/// Returns one line per option: its key, value and source.
pub(crate) fn text(options: &[EffectiveOption]) -> String {
    let value = |option: &EffectiveOption| match option.values.as_slice() {
        [] => "-".to_owned(),
        values => values.iter().map(|value| redact(value)).collect::<Vec<_>>().join(", "),
    };
    let rows: Vec<[String; 3]> =
        options.iter().map(|option| [option.key.clone(), value(option), source(&option.source)]).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(32);
    let (first, second) = (width(0), width(1));
    let lines = rows.iter().map(|[key, value, source]| format!("{key:first$}  {value:second$}  {source}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns an object with one member per option.
pub(crate) fn json(options: &[EffectiveOption]) -> String {
    let member = |option: &EffectiveOption| {
        let mut values: Vec<Value> = option.values.iter().map(|value| redact(value).into()).collect();
        let value = match values.len() {
            0 => Value::Null,
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        (option.key.clone(), json!({ "value": value, "from": source(&option.source) }))
    };
    serde_json::to_string_pretty(&options.iter().map(member).collect::<Map<_, _>>()).unwrap_or_default()
}

fn source(source: &OptionSource) -> String {
    match source {
        OptionSource::Default => "default".to_owned(),
        OptionSource::File(file) => file.clone(),
        OptionSource::Variable(name) => name.clone(),
    }
}

/// Redacts a value that looks like a key. No option takes a key, but a user may have set one by mistake.
fn redact(value: &str) -> String {
    let prefixes = ["sk-", "ghp_", "github_pat_", "xoxb-", "AKIA", "AIza", "Bearer ", "hf_"];
    let has_user = value.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or("").contains('@'));
    let is_random = |word: &str| {
        let count = |of: fn(&char) -> bool| word.chars().filter(of).count();
        word.len() >= 24 && count(char::is_ascii_digit) >= 4 && count(char::is_ascii_alphabetic) >= 8
    };
    let mut words = value.split(|c: char| !c.is_ascii_alphanumeric());
    let is_key = prefixes.iter().any(|prefix| value.contains(prefix)) || has_user || words.any(is_random);
    if is_key { "***".to_owned() } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_look_like_keys_are_redacted() {
        for key in ["sk-proj-x", "net=https://me:pass@example.org", "a8f5f167f44f4964e6c998dee827110c", "Bearer x"] {
            assert_eq!(redact(key), "***", "{key}");
        }
        for plain in ["8", "10m", "net=example.org:8080", "read=/home/me/data/2026-11-22/records", "https://a.org/@b"] {
            assert_eq!(redact(plain), plain);
        }
    }
}
