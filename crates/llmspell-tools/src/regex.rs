//! `regex`: finds and replaces matches of a regular expression.

use std::sync::Arc;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Error, Result, Tool};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::patterns::{MATCHES, Patterns, too_many};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct RegexArguments {
    /// The text.
    value: String,
    /// The regular expression, in the syntax of Rust's `regex`: `(?i)` ignores case, `(?m)` lets `^` and `$` match at
    /// each line, `(?s)` lets `.` match line breaks, `(?<year>\d{4})` names a group. Look-around and back-references
    /// are not supported, so matching takes linear time in the text.
    pattern: String,
    /// The kind of result. The default is `find`.
    #[serde(default)]
    action: RegexAction,
    /// The replacement for each match if the action replaces: `$1` and `${year}` are groups, `$$` is a `$`.
    with: Option<String>,
    /// The most matches to use, from the first one on. The default is all.
    max: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "snake_case")]
enum RegexAction {
    /// The first match, or null.
    #[default]
    Find,
    /// The list of all matches.
    FindAll,
    /// The groups of the first match, by name or number, or null; group 0 is the whole match.
    Captures,
    /// The groups of all matches.
    CapturesAll,
    /// The text with the matches replaced.
    Replace,
    /// The parts of the text between the matches.
    Split,
    /// Whether the text matches.
    Test,
}

/// Returns the tool.
pub(crate) fn regex() -> DynTool {
    let patterns = Arc::new(Patterns::default());
    let description = "Finds, captures, replaces or splits by a regular expression.";
    let apply = move |arguments: RegexArguments, _| {
        let patterns = patterns.clone();
        async move { arguments.apply(&patterns) }
    };
    Tool::new("regex", description, apply).erase()
}

impl RegexArguments {
    fn apply(self, patterns: &Patterns) -> Result<Value> {
        if self.with.is_some() != (self.action == RegexAction::Replace) {
            let error = Error::invalid("`with` and `action: replace` belong together");
            return Err(error.with_hint("give both, or neither"));
        }
        let regex = patterns.get(&self.pattern)?;
        let text = &self.value;
        let most = self.max.unwrap_or(usize::MAX);
        let names: Vec<String> = regex
            .capture_names()
            .enumerate()
            .map(|(place, name)| name.map_or(place.to_string(), str::to_owned))
            .collect();
        let groups = |found: regex::Captures<'_>| {
            let groups = found.iter().map(|group| group.map_or(Value::Null, |group| group.as_str().into()));
            Value::Object(names.iter().cloned().zip(groups).collect::<Map<_, _>>())
        };
        // Groups take memory even where they are empty.
        let bound = MATCHES / names.len().max(1);
        Ok(match self.action {
            RegexAction::Find => regex.find(text).map_or(Value::Null, |found| found.as_str().into()),
            RegexAction::FindAll => {
                listed(regex.find_iter(text).take(most).map(|found| found.as_str().into()), MATCHES)?
            }
            RegexAction::Captures => regex.captures(text).map_or(Value::Null, groups),
            RegexAction::CapturesAll => listed(regex.captures_iter(text).take(most).map(groups), bound)?,
            RegexAction::Replace => {
                let with = self.with.as_deref().unwrap_or_default();
                Value::String(patterns.replace(&self.pattern, text, with, most)?)
            }
            RegexAction::Split => listed(regex.splitn(text, most.saturating_add(1)).map(Value::from), MATCHES)?,
            RegexAction::Test => regex.is_match(text).into(),
        })
    }
}

fn listed(values: impl Iterator<Item = Value>, bound: usize) -> Result<Value> {
    let list: Vec<Value> = values.take(bound + 1).collect();
    if list.len() > bound { Err(too_many(bound)) } else { Ok(Value::Array(list)) }
}

#[cfg(test)]
mod tests {
    use llmspell::{Context, ErrorKind, Step};

    use super::*;
    use serde_json::json;

    async fn call(arguments: Value) -> Result<Value> {
        regex().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn each_action_gives_what_it_says() {
        let value = "2024-05 and 2025-11";
        for (action, wanted) in [
            ("find", json!("2024-05")),
            ("find_all", json!(["2024-05", "2025-11"])),
            ("captures", json!({ "0": "2024-05", "year": "2024", "2": "05" })),
            (
                "captures_all",
                json!([{ "0": "2024-05", "year": "2024", "2": "05" }, { "0": "2025-11", "year": "2025", "2": "11" }]),
            ),
            ("split", json!(["", " and ", ""])),
            ("test", json!(true)),
        ] {
            let arguments = json!({ "value": value, "pattern": r"(?<year>\d{4})-(\d\d)", "action": action });
            assert_eq!(call(arguments).await.unwrap(), wanted, "{action}");
            let arguments = json!({ "value": "-", "pattern": r"(?<year>\d{4})-(\d\d)", "action": action });
            assert!(call(arguments).await.is_ok(), "{action}");
        }
        let replace =
            json!({ "value": value, "pattern": r"(\d+)-(\d+)", "action": "replace", "with": "$2/$1", "max": 1 });
        assert_eq!(call(replace).await.unwrap(), "05/2024 and 2025-11");
        assert_eq!(
            call(json!({ "value": "aAa", "pattern": "(?i)A", "max": 2, "action": "find_all" })).await.unwrap(),
            json!(["a", "A"])
        );
        assert_eq!(
            call(json!({ "value": "a", "pattern": "(b)?", "action": "captures" })).await.unwrap(),
            json!({ "0": "", "1": null })
        );
    }

    #[tokio::test]
    async fn mistakes_and_bounds_are_errors() {
        for wrong in [
            json!({ "value": "", "pattern": "(" }),
            json!({ "value": "", "pattern": "a", "with": "b" }),
            json!({ "value": "", "pattern": "a", "action": "replace" }),
            json!({ "value": "", "pattern": r"(a)\1" }),
            json!({ "value": "", "pattern": r"((\w{100}){100}){100}" }),
        ] {
            assert_eq!(call(wrong.clone()).await.unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
        }
        let value = "x".repeat(1_100_000);
        for action in ["find_all", "captures_all", "split"] {
            let error = call(json!({ "value": value, "pattern": "", "action": action })).await.unwrap_err();
            assert!(error.message().contains("more than") && error.hint().is_some(), "{action}: {error}");
        }
        // Backtracking engines would take exponential time here.
        let slow = json!({ "value": "a".repeat(50_000), "pattern": "(a*)*b" });
        assert_eq!(call(slow).await.unwrap(), Value::Null);
    }
}
