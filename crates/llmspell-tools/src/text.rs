//! `text`: everyday operations on text.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Error, Result, Tool};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::patterns::Patterns;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Text {
    /// The text.
    value: String,
    /// Removes white space at both ends.
    #[serde(default)]
    trim: bool,
    /// Collapses each run of white space, including line breaks, to one space.
    #[serde(default)]
    collapse: bool,
    /// Converts the text to lower or upper case.
    case: Option<Case>,
    /// Replacements, applied in order.
    #[serde(default)]
    replace: Vec<Replace>,
    /// Keeps at most this many characters.
    truncate: Option<usize>,
    /// Returns the list of parts between these separators.
    split: Option<String>,
    /// Returns the first match of a regular expression, or null. If it has a group, returns the first group.
    extract: Option<String>,
    /// Returns the list of all matches of a regular expression. If it has a group, returns the first groups.
    extract_all: Option<String>,
    /// Returns an object that says for each name whether its regular expression matches.
    matches: Option<BTreeMap<String, String>>,
    /// Returns the numbers of `chars`, `words` and `lines`.
    #[serde(default)]
    count: bool,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Case {
    Lower,
    Upper,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Replace {
    /// The text to look for, as a regular expression.
    find: String,
    /// The replacement; `$1` is the first group.
    with: String,
}

/// Returns the tool.
pub(crate) fn text() -> DynTool {
    let patterns = Arc::new(Patterns::default());
    Tool::new(
        "text",
        "Edits a text (trim, collapse, case, replace, truncate, in this order) and gives it, or one of: its parts \
         (split), matches (extract, extract_all, matches), counts (count).",
        move |text: Text, _| {
            let patterns = patterns.clone();
            async move { text.apply(&patterns) }
        },
    )
    .erase()
}

impl Text {
    fn apply(self, patterns: &Patterns) -> Result<Value> {
        let asked = [
            ("split", self.split.is_some()),
            ("extract", self.extract.is_some()),
            ("extract_all", self.extract_all.is_some()),
            ("matches", self.matches.is_some()),
            ("count", self.count),
        ];
        let asked: Vec<&str> = asked.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect();
        if let [first, second, ..] = asked[..] {
            let message = format!("`{first}` and `{second}` exclude each other");
            return Err(Error::invalid(message).with_hint("use two steps"));
        }
        let text = self.edited(patterns)?;
        if let Some(separator) = self.split.as_deref() {
            if separator.is_empty() {
                return Err(Error::invalid("`split` needs a separator"));
            }
            return Ok(text.split(separator).collect());
        }
        if let Some(pattern) = self.extract.as_deref() {
            return Ok(patterns.matches(pattern, &text, 1)?.into_iter().next().unwrap_or(Value::Null));
        }
        if let Some(pattern) = self.extract_all.as_deref() {
            return Ok(Value::Array(patterns.matches(pattern, &text, usize::MAX)?));
        }
        if let Some(named) = self.matches {
            let matched =
                named.into_iter().map(|(name, pattern)| Ok((name, patterns.get(&pattern)?.is_match(&text).into())));
            return Ok(Value::Object(matched.collect::<Result<Map<_, _>>>()?));
        }
        if self.count {
            let (chars, words) = (text.chars().count(), text.split_whitespace().count());
            return Ok(json!({ "chars": chars, "words": words, "lines": text.lines().count() }));
        }
        Ok(Value::String(text))
    }

    fn edited(&self, patterns: &Patterns) -> Result<String> {
        let mut text = self.value.clone();
        if self.trim {
            text = text.trim().to_owned();
        }
        if self.collapse {
            text = collapse(&text);
        }
        match self.case {
            Some(Case::Lower) => text = text.to_lowercase(),
            Some(Case::Upper) => text = text.to_uppercase(),
            None => {}
        }
        for Replace { find, with } in &self.replace {
            text = patterns.replace(find, &text, with, usize::MAX)?;
        }
        if let Some(longest) = self.truncate
            && let Some((end, _)) = text.char_indices().nth(longest)
        {
            text.truncate(end);
        }
        Ok(text)
    }
}

fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_space = false;
    for c in text.chars() {
        if !c.is_whitespace() {
            out.push(c);
        } else if !in_space {
            out.push(' ');
        }
        in_space = c.is_whitespace();
    }
    out
}

#[cfg(test)]
mod tests {
    use llmspell::{Context, ErrorKind, Step};

    use super::*;

    async fn call(arguments: Value) -> Result<Value> {
        text().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn edits_apply_in_their_order() {
        let out = call(json!({
            "value": "  Größe \n\t 12,5 KM ", "trim": true, "collapse": true, "case": "lower",
            "replace": [{ "find": r"(\d),(\d)", "with": "$1.$2" }], "truncate": 10,
        }));
        assert_eq!(out.await.unwrap(), "größe 12.5");
    }

    #[tokio::test]
    async fn one_thing_comes_out() {
        let value = "a=1, b=22";
        assert_eq!(call(json!({ "value": value, "split": ", " })).await.unwrap(), json!(["a=1", "b=22"]));
        assert_eq!(call(json!({ "value": value, "extract": r"b=(\d+)" })).await.unwrap(), "22");
        assert_eq!(call(json!({ "value": value, "extract": "z" })).await.unwrap(), Value::Null);
        assert_eq!(call(json!({ "value": value, "extract_all": r"\d+" })).await.unwrap(), json!(["1", "22"]));
        let matches = call(json!({ "value": value, "matches": { "b": "b=", "c": "c=" } })).await.unwrap();
        assert_eq!(matches, json!({ "b": true, "c": false }));
        let counts = call(json!({ "value": "ä b\nc", "count": true })).await.unwrap();
        assert_eq!(counts, json!({ "chars": 5, "words": 3, "lines": 2 }));
        assert_eq!(
            call(json!({ "value": "", "count": true, "split": "x" })).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[tokio::test]
    async fn a_wrong_pattern_is_an_invalid_argument() {
        for arguments in [json!({ "value": "", "extract": "(" }), json!({ "value": "", "split": "" }), json!({})] {
            assert_eq!(call(arguments).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[tokio::test]
    async fn replacements_are_bounded() {
        let (value, with) = ("x".repeat(100_000), "y".repeat(100_000));
        for find in ["x", ""] {
            let error = call(json!({ "value": value, "replace": [{ "find": find, "with": with }] })).await.unwrap_err();
            assert!(error.message().contains("larger than") && error.hint().is_some(), "{error}");
        }
        let groups = json!({ "value": value, "replace": [{ "find": "(.+)", "with": "$1".repeat(10_000) }] });
        assert!(call(groups).await.unwrap_err().message().contains("larger than"));
        let out = call(json!({ "value": "abc", "replace": [{ "find": "", "with": "-" }] })).await.unwrap();
        assert_eq!(out, "-a-b-c-");
    }
}
