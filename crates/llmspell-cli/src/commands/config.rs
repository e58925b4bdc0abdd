//! `llmspell config show`: what each option is, and who says so.

use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::options::args::{ConfigArgs, ConfigCommand};
use crate::options::resolved::{Effective, From, Line};
use crate::ui::show;

/// Shows all options.
pub(crate) fn config(args: &ConfigArgs, line: &Line) -> Result<Exit, Failure> {
    let ConfigCommand::Show { json, .. } = args.command;
    let all = line.effective()?;
    let text = if json { as_json(&all) } else { as_text(&all) };
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

fn as_json(all: &[Effective]) -> String {
    let one = |option: &Effective| {
        let values: Vec<Value> = option.values.iter().map(|value| masked(value).into()).collect();
        let (value, from) = (shape(values), origin(&option.from));
        (option.key.clone(), json!({ "value": value, "from": from }))
    };
    serde_json::to_string_pretty(&all.iter().map(one).collect::<Map<_, _>>()).unwrap_or_default()
}

/// Nothing, one value, or a list of them.
fn shape(mut values: Vec<Value>) -> Value {
    match values.len() {
        0 => Value::Null,
        1 => values.remove(0),
        _ => Value::Array(values),
    }
}

fn as_text(all: &[Effective]) -> String {
    let value = |option: &Effective| match option.values.as_slice() {
        [] => "-".to_owned(),
        values => values.iter().map(|value| masked(value)).collect::<Vec<_>>().join(", "),
    };
    let rows: Vec<[String; 3]> =
        all.iter().map(|option| [option.key.clone(), value(option), origin(&option.from)]).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(32);
    let (first, second) = (width(0), width(1));
    let lines = rows.iter().map(|[key, value, from]| format!("{key:first$}  {value:second$}  {from}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn origin(from: &From) -> String {
    match from {
        From::Default => "default".to_owned(),
        From::File(file) => file.clone(),
        From::Variable(name) => name.clone(),
    }
}

/// No option takes a key. Should one stand there all the same, it is not shown.
fn masked(value: &str) -> String {
    let marks = ["sk-", "ghp_", "github_pat_", "xoxb-", "AKIA", "AIza", "Bearer ", "hf_"];
    let has_user = value.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or("").contains('@'));
    let random = |word: &str| {
        let count = |of: fn(&char) -> bool| word.chars().filter(of).count();
        word.len() >= 24 && count(char::is_ascii_digit) >= 4 && count(char::is_ascii_alphabetic) >= 8
    };
    let mut words = value.split(|c: char| !c.is_ascii_alphanumeric());
    let is_key = marks.iter().any(|mark| value.contains(mark)) || has_user || words.any(random);
    if is_key { "***".to_owned() } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_not_shown() {
        for key in ["sk-proj-x", "net=https://me:pass@example.org", "a8f5f167f44f4964e6c998dee827110c", "Bearer x"] {
            assert_eq!(masked(key), "***", "{key}");
        }
        for plain in ["8", "10m", "net=example.org:8080", "read=/home/me/data/2026-11-22/records", "https://a.org/@b"] {
            assert_eq!(masked(plain), plain);
        }
    }
}
